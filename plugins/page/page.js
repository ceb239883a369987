// Asks for the page again each 5 seconds, and changes what differs, so that focus and position stay.
(function () {
  "use strict";
  var pause = document.getElementById("pause"), lost = document.getElementById("lost"), paused = false, timer = 0;
  function change(old, now) {
    if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) { old.replaceWith(now.cloneNode(true)); return; }
    if (old.nodeType === 3) { if (old.data !== now.data) old.data = now.data; return; }
    if (old.nodeType !== 1) return;
    Array.from(old.attributes).forEach(function (each) { if (!now.hasAttribute(each.name)) old.removeAttribute(each.name); });
    Array.from(now.attributes).forEach(function (each) { if (old.getAttribute(each.name) !== each.value) old.setAttribute(each.name, each.value); });
    var olds = Array.from(old.childNodes), nows = Array.from(now.childNodes);
    nows.forEach(function (each, i) { if (i < olds.length) change(olds[i], each); else old.appendChild(each.cloneNode(true)); });
    olds.slice(nows.length).forEach(function (each) { each.remove(); });
  }
  function show(text) {
    var page = new DOMParser().parseFromString(text, "text/html"), now = page.querySelector("main");
    if (now === null) throw new Error("not this page");
    change(document.querySelector("main"), now);
    if (document.title !== page.title) document.title = page.title;
    if (lost.textContent !== "") lost.textContent = "";
  }
  function again() { clearTimeout(timer); if (!paused) timer = setTimeout(ask, 5000); }
  function ask() {
    if (document.hidden) { again(); return; }
    var control = new AbortController(), limit = setTimeout(function () { control.abort(); }, 10000);
    fetch(location.href.split("#")[0], { headers: { Accept: "text/html" }, cache: "no-store", signal: control.signal })
      .then(function (answer) { if (!answer.ok) throw new Error("code " + answer.status); return answer.text(); })
      .then(function (text) { if (!paused) show(text); })
      .catch(function (why) { lost.textContent = "No answer from the monitor (" + (why.name === "AbortError" ? "timeout" : why.message) + "): this page may be out of date."; })
      .then(function () { clearTimeout(limit); again(); });
  }
  pause.hidden = false;
  pause.addEventListener("click", function () {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    again();
  });
  again();
})();
