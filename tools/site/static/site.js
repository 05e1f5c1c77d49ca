// Draw the formulas. Those that stand alone may be wider than a phone: they scroll, and the keyboard can reach them.
for (const place of document.querySelectorAll(".math")) {
    const alone = place.tagName === "DIV";
    katex.render(place.textContent, place, { displayMode: alone, throwOnError: false });
    if (alone) place.tabIndex = 0;
}
// The theme's search button is named as it reads.
for (const button of document.querySelectorAll(".search-button-field")) button.removeAttribute("aria-label");
