"use strict";
let mark = null;
async function refresh() {
  try {
    const answer = await fetch("/", { headers: mark ? { "If-None-Match": mark } : {}, cache: "no-store" });
    if (answer.ok && !document.querySelector("details[open]")) {
      const first = mark === null;
      mark = answer.headers.get("ETag");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!first) document.getElementById("events").replaceWith(page.getElementById("events"));
    }
  } catch { /* the inbox is away: keep what is shown and try again */ }
  setTimeout(refresh, 2000);
}
refresh();
