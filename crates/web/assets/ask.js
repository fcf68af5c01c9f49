// The outlook's form without a reload, and nothing else: the page is complete without this script.
(() => {
  "use strict";
  const form = document.getElementById("ask"), said = document.getElementById("said");
  let timer = 0, asking;

  const digits = (v) => {
    const text = v.toPrecision(3);
    return text.includes("e") ? String(Number(text)) : text;
  };
  const plain = (v) => String(Number(digits(v)));
  const show = (v, unit) =>
    unit === "share" ? `${plain(v * 100)} %`
      : unit === "dollars" ? (v >= 0.9995e12 ? `${digits(v / 1e12)}T` : `${digits(v / 1e9)}B`)
      : plain(v);

  const ask = async () => {
    asking?.abort();
    const mine = (asking = new AbortController());
    document.body.setAttribute("aria-busy", "true");
    try {
      const words = new URLSearchParams(new FormData(form));
      const answer = await fetch(`/outlook?${words}`, {
        headers: { accept: "text/html" }, signal: mine.signal,
      });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!fresh.getElementById("ask")) {
        said.textContent = fresh.querySelector("h1")?.textContent ?? "";
        if (answer.status === 503) timer = setTimeout(ask, 2000);
        return;
      }
      for (const old of document.querySelectorAll("[data-live]")) {
        const now = fresh.getElementById(old.id);
        if (!now) continue;
        for (const details of old.querySelectorAll("details[open]"))
          fresh.getElementById(details.id)?.setAttribute("open", "");
        if (now.innerHTML !== old.innerHTML) old.replaceChildren(...now.childNodes);
      }
      if (answer.ok) history.replaceState(null, "", answer.url);
      said.textContent = document.getElementById("now").textContent;
    } catch { /* Asked anew meanwhile, or the economy is away: the page stays as it is. */ } finally {
      if (mine === asking) document.body.removeAttribute("aria-busy");
    }
  };

  const soon = (wait) => {
    clearTimeout(timer);
    timer = setTimeout(ask, wait);
  };

  document.addEventListener("input", ({ target }) => {
    if (target.form !== form) return;
    if (target.type === "range") {
      const box = target.closest(".driver"), output = box.querySelector("output");
      output.value = show(Number(target.value), target.dataset.unit);
      target.setAttribute("aria-valuetext", output.value);
      output.dataset.held = "";
      box.querySelector("[name=hold]").checked = true;
      const measured = box.querySelector("[name=measured]");
      if (measured) measured.checked = false;
    }
    if (target.type === "checkbox") {
      const box = target.closest(".driver");
      const other = box.querySelector(target.name === "hold" ? "[name=measured]" : "[name=hold]");
      if (target.checked && other) other.checked = false;
      box.querySelector("output").toggleAttribute("data-held", box.querySelector("[name=hold]").checked);
    }
    soon(target.type === "text" || target.type === "number" ? 600 : 200);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    soon(0);
  });
})();
