"use strict";
(function () {
  var table = document.querySelector("table.pipelines");
  function reveal() {
    var run = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (run && run.tagName === "DETAILS") { run.open = true; run.scrollIntoView(); }
  }
  addEventListener("hashchange", reveal);
  reveal();
  if (!table || table.tBodies[0].rows.length < 8) return;
  var label = document.createElement("label");
  label.className = "filter";
  label.append("Filter ");
  var input = document.createElement("input");
  input.type = "search";
  input.setAttribute("aria-controls", "rows");
  table.tBodies[0].id = "rows";
  label.append(input);
  var heading = document.getElementById("pipelines-h");
  heading.after(label);
  input.addEventListener("input", function () {
    var wanted = input.value.toLowerCase();
    Array.prototype.forEach.call(table.tBodies[0].rows, function (row) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  });
})();
