// Search as one types: fetches the list that the form would load, and puts it in the place of the one before.
"use strict";

(() => {
  const WAIT = 200; // ms after the last key
  const form = document.getElementById("search-form");
  const input = document.getElementById("search");
  const found = document.getElementById("found");
  const status = document.getElementById("search-status");
  const failed = document.getElementById("search-failed");
  const reason = document.getElementById("search-reason");
  let timer = 0;
  let running = null;
  let shown = input.value;

  function address() {
    const given = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      if (value) given.append(name, value);
    }
    const query = given.toString();
    return form.getAttribute("action") + (query ? "?" + query : "");
  }

  async function load() {
    clearTimeout(timer);
    if (running) running.abort();
    const mine = running = new AbortController();
    const target = address();
    const words = input.value;
    found.setAttribute("aria-busy", "true");
    const slow = setTimeout(() => { status.textContent = "Searching"; }, 500);
    try {
      const answer = await fetch(target + (target.includes("?") ? "&" : "?") + "part=found", {
        headers: { Accept: "text/html" }, signal: mine.signal,
      });
      const text = await answer.text();
      if (mine.signal.aborted) return;
      if (!answer.ok) throw new Error(answer.status === 401 || answer.status === 403 ? "You are logged out: load the page again." : "The server cannot answer (" + answer.status + ").");
      const part = new DOMParser().parseFromString(text, "text/html");
      fold(part);
      found.replaceChildren(...part.body.childNodes);
      shown = words;
      history.replaceState(null, "", target);
      failed.hidden = true;
      again();
      const said = found.querySelector("[data-said]");
      status.textContent = said ? said.dataset.said : "";
    } catch (error) {
      if (error.name === "AbortError") return;
      reason.textContent = error instanceof TypeError ? "The server does not answer." : error.message;
      failed.hidden = false;
      status.textContent = reason.textContent;
    } finally {
      clearTimeout(slow);
      if (running === mine) {
        running = null;
        found.removeAttribute("aria-busy");
      }
    }
  }

  // What is still being read is asked for again.
  function again() {
    const waiting = found.querySelector("[data-again]");
    if (!waiting) return;
    timer = setTimeout(() => found.contains(document.activeElement) ? again() : load(), Number(waiting.dataset.again));
  }

  // In a narrow window the filters come folded, as they stand before the list.
  function fold(root) {
    const box = root.querySelector(".facet-box");
    if (box && matchMedia("(max-width: 56rem)").matches) box.open = false;
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => { if (input.value !== shown || !failed.hidden) load(); }, WAIT);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); load(); });
  document.getElementById("search-again").addEventListener("click", load);
  fold(document);
  again();
})();
