(function () {
  "use strict";

  function purified(html) {
    const clean = DOMPurify.sanitize(html, {
      FORBID_TAGS: ["style", "form", "textarea", "select", "iframe", "object", "embed", "meta", "link", "base"],
      FORBID_ATTR: ["id", "name"],
      ADD_ATTR: ["target"],
    });
    const holder = document.createElement("template");
    holder.innerHTML = clean;
    for (const box of holder.content.querySelectorAll("input")) {
      if (box.type === "checkbox") {
        box.disabled = true;
      } else {
        box.remove();
      }
    }
    for (const image of holder.content.querySelectorAll("img")) {
      const source = image.getAttribute("src") || "";
      if (!source.startsWith("data:image/")) {
        const link = document.createElement("a");
        link.textContent = "picture: " + (image.alt || source);
        if (/^https?:/i.test(source)) {
          link.href = source;
        }
        image.replaceWith(link);
      }
    }
    for (const link of holder.content.querySelectorAll("a[href]")) {
      if (!link.getAttribute("href").startsWith("#")) {
        link.target = "_blank";
        link.rel = "noopener noreferrer";
      }
    }
    return holder.content;
  }

  function prose(element, html) {
    element.replaceChildren(purified(html));
  }

  function chart(element) {
    const source = element.querySelector('script[type="application/json"]');
    const target = element.querySelector(".drawing");
    if (typeof vegaEmbed === "undefined") {
      target.textContent = source.textContent;
      return;
    }
    const spec = JSON.parse(source.textContent);
    const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
    const options = {
      ast: true,
      renderer: "svg",
      actions: element.dataset.chart === "menu" ? { export: true, source: false, compiled: false, editor: false } : false,
      tooltip: true,
      config: { background: "transparent" },
    };
    if (dark && !(spec.config && spec.config.background)) {
      options.theme = "dark";
      options.config.axis = { gridColor: "#323c47", domainColor: "#98a6b5", tickColor: "#98a6b5" };
    }
    vegaEmbed(target, spec, options).catch(function (error) {
      const told = document.createElement("pre");
      told.className = "message";
      told.textContent = "The chart can't be drawn: " + error.message;
      target.replaceChildren(told);
    });
  }

  // In a frame of another origin there is no clipboard to write to, but there is what the user selects and copies.
  function copied(text) {
    const holder = document.createElement("textarea");
    holder.value = text;
    document.body.append(holder);
    holder.select();
    const done = document.execCommand("copy");
    holder.remove();
    return done;
  }

  function copy(button) {
    button.hidden = false;
    button.addEventListener("click", function () {
      button.textContent = copied(button.nextElementSibling.textContent) ? "Copied" : "Can't copy";
      setTimeout(function () { button.textContent = "Copy"; }, 1500);
    });
  }

  function enliven(root) {
    if (typeof DOMPurify !== "undefined") {
      for (const element of root.querySelectorAll("[data-markdown]")) {
        prose(element, marked.parse(element.textContent, { gfm: true }));
      }
      for (const element of root.querySelectorAll("[data-html]")) {
        prose(element, element.textContent);
      }
    }
    root.querySelectorAll("[data-chart]").forEach(chart);
    root.querySelectorAll("[data-copy]").forEach(copy);
  }

  // What is unfolded stays so, and what is below a chart stays where it is while the chart is drawn anew.
  function keep(old, fresh) {
    const before = old.querySelectorAll("details");
    const after = fresh.querySelectorAll("details");
    if (before.length === after.length) {
      after.forEach(function (it, number) { it.open = before[number].open; });
    }
    if (fresh.querySelector("[data-chart]")) {
      fresh.style.minHeight = old.offsetHeight + "px";
      setTimeout(function () { fresh.style.minHeight = ""; }, 1000);
    }
  }

  function update(components) {
    let found = true;
    for (const [id, html] of Object.entries(components || {})) {
      const old = document.querySelector('[data-component="' + CSS.escape(id) + '"]');
      if (!old || typeof html !== "string") {
        found = false;
        continue;
      }
      if (old.html === html) {
        continue;
      }
      const holder = document.createElement("template");
      holder.innerHTML = html;
      const fresh = holder.content.firstElementChild;
      if (!fresh) {
        found = false;
        continue;
      }
      keep(old, fresh);
      old.replaceWith(fresh);
      fresh.html = html;
      enliven(fresh);
    }
    return found;
  }

  // The page of a frame that is given as text has the address of the page around it: its links would lead there.
  document.addEventListener("click", function (event) {
    const link = event.target.closest && event.target.closest("nav a");
    const section = link && document.getElementById(link.hash.slice(1));
    if (section) {
      event.preventDefault();
      section.scrollIntoView();
    }
  });

  enliven(document);
  window.METAFLOW_RELOAD_TOKEN = document.documentElement.dataset.reloadToken;
  window.gitflowrun_card_update = update;
  window.metaflow_card_update = update;
  window.addEventListener("message", function (event) {
    if (event.source === window.parent && event.source !== window && event.data && event.data.gitflowrun_card_update) {
      update(event.data.gitflowrun_card_update);
    }
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (it) { it.open = true; });
  });
})();
