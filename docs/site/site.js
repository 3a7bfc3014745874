// The copy button of a console block, and of an example of Python, copies what is typed, without prompt and output; and what the theme leaves nameless is named.
(() => {
  "use strict";

  const commands = (text) => {
    const typed = [];
    let going = false; // whether a `> ` would go on with a command
    for (const line of text.split("\n")) {
      going = line.startsWith("$ ") || (going && line.startsWith("> "));
      if (going) typed.push(line.slice(2));
    }
    return typed.join("\n");
  };

  const statements = (text) =>
    text
      .split("\n")
      .filter((line) => /^(>>>|\.\.\.)( |$)/.test(line))
      .map((line) => line.slice(4))
      .join("\n");

  const prepare = () => {
    for (const code of document.querySelectorAll(".language-console pre > code")) {
      code.parentElement.setAttribute("data-copy", commands(code.textContent));
    }
    for (const code of document.querySelectorAll(".language-pycon pre > code")) {
      code.parentElement.setAttribute("data-copy", statements(code.textContent));
    }
    document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
    // What scrolls can be reached by keyboard.
    for (const wide of document.querySelectorAll("pre > code, .md-typeset__scrollwrap, .md-typeset__table")) {
      if (wide.scrollWidth > wide.clientWidth) wide.setAttribute("tabindex", "0");
    }
    name();
    new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
  };

  // The theme makes the buttons of a block when it comes into sight.
  const name = () => {
    for (const buttons of document.querySelectorAll(".md-code__nav:not([aria-label])")) {
      const code = buttons.parentElement.querySelector("code");
      buttons.setAttribute("aria-label", `Block ${code?.parentElement.id.replace(/\D+/g, "") || code?.id || ""}`);
    }
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", prepare);
  else prepare();
})();
