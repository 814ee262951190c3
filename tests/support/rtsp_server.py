"""An RTSP server over GStreamer: `python3 rtsp_server.py PORT FILE` plays an MP4 file to each client from its start.

With a third argument it listens on that address instead of loopback.

Run by the system's Python, which has the Debian packages gir1.2-gst-rtsp-server-1.0 and python3-gi; so it imports
nothing else. Prints `ready PORT` once it listens; port 0 takes a free one.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 gi knows its versions only now


def main(port: str, path: str, address: str = "") -> None:
    """Serve a file as rtsp://ADDRESS:PORT/cam until killed."""
    Gst.init(None)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(
        f'( filesrc location="{path}" ! qtdemux ! h264parse config-interval=-1 ! rtph264pay name=pay0 pt=96 )'
    )
    server = GstRtspServer.RTSPServer()
    server.set_address(address or "127.0.0.1")
    server.set_service(port)
    server.get_mount_points().add_factory("/cam", factory)
    server.attach(None)
    print(f"ready {server.get_bound_port()}", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
