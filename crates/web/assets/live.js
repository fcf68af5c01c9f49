// Liveness, and nothing else: every page is complete without this script.
(() => {
  "use strict";
  const { since, trade, jobs } = document.body.dataset;
  const find = (id) => document.getElementById(id);
  const lamp = find("lamp"), feed = find("feed"), pause = find("pause"), said = find("said");
  let last = Number(since), paused = false, missed = 0, away = false, stream, refreshing = 0;

  const shine = (state, says) => {
    lamp.hidden = false;
    lamp.dataset.state = state;
    find("lamp-says").textContent = says;
  };

  // Reads this page again and replaces its live parts; at most once a second. A part that the
  // reader is in the middle of (focus, an open table) keeps its place.
  const refresh = (whole) => {
    if (whole && feed) feed.dataset.stale = "";
    if (refreshing || paused) return;
    refreshing = setTimeout(async () => {
      try {
        const answer = await fetch(location.href, { headers: { accept: "text/html" } });
        if (!answer.ok) return;
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const old of document.querySelectorAll("[data-live]")) {
          const now = fresh.getElementById(old.id);
          if (!now || old.contains(document.activeElement)) continue;
          for (const details of old.querySelectorAll("details[open]"))
            fresh.getElementById(details.id)?.setAttribute("open", "");
          if (now.innerHTML !== old.innerHTML) old.replaceChildren(...now.childNodes);
        }
        if (feed && "stale" in feed.dataset) {
          delete feed.dataset.stale;
          const rows = fresh.getElementById("feed").children;
          if (rows.length) find("quiet")?.remove();
          feed.replaceChildren(...rows);
        }
      } catch { /* The stream's own state says that the economy is away. */ } finally {
        refreshing = 0;
      }
    }, 300);
  };

  const place = (row) => {
    const known = find(row.id);
    if (known) return known.replaceWith(row);
    const first = feed.firstElementChild;
    if (first && Number(first.dataset.sequence) > Number(row.dataset.sequence)) return;
    find("quiet")?.remove();
    row.classList.add("arrived");
    feed.prepend(row);
    while (feed.children.length > Number(feed.dataset.most)) feed.lastElementChild.remove();
  };

  const open = () => {
    stream = new EventSource(since === "" ? "/events" : `/events?since=${last}`);
    stream.onopen = () => {
      shine("live", paused ? "Paused" : "Live");
      // What changed about trades shown long ago, and about jobs, is not told again.
      if (away || jobs) refresh(true);
      away = false;
    };
    stream.onerror = () => {
      away = true;
      shine("away", "Reconnecting");
      if (stream.readyState === EventSource.CLOSED) setTimeout(open, 10000);
    };
    stream.addEventListener("stale", (event) => {
      last = Number(event.lastEventId) || last;
      refresh(true);
    });
    stream.addEventListener("job", (event) => {
      if (jobs === "all" || jobs === event.data) refresh(false);
    });
    stream.addEventListener("trade", (event) => {
      if (jobs) return;
      last = Number(event.lastEventId) || last;
      const template = document.createElement("template");
      template.innerHTML = event.data; // Made and escaped by the page's own server.
      const row = template.content.firstElementChild;
      if (trade && row.id !== `t-${trade}`) return;
      if (paused) {
        missed += 1;
        pause.textContent = `Resume (${missed} new)`;
        return;
      }
      if (feed) place(row);
      said.textContent = row.dataset.say;
      refresh(false);
    });
  };

  if (pause) {
    pause.hidden = false;
    pause.addEventListener("click", () => {
      paused = !paused;
      missed = 0;
      pause.setAttribute("aria-pressed", String(paused));
      pause.textContent = paused ? "Resume" : "Pause";
      shine("live", paused ? "Paused" : "Live");
      if (!paused) refresh(true);
    });
  }
  addEventListener("pagehide", () => stream?.close());
  addEventListener("pageshow", (event) => event.persisted && (open(), refresh(true)));
  shine("wait", "Connecting");
  open();
})();
