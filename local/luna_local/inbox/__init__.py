"""The inbox: plays LUNA PLATFORM on one machine, keeps what is delivered and shows it."""
