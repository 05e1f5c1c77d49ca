// Draw the formulas; a wide one scrolls, by the keyboard too. Name the search button as it reads.
for (const place of document.querySelectorAll(".math")) {
    katex.render(place.textContent, place, { displayMode: place.tagName === "DIV", throwOnError: false });
    if (place.scrollWidth > place.clientWidth && place.tagName === "DIV") place.tabIndex = 0;
}
for (const button of document.querySelectorAll(".search-button-field")) button.removeAttribute("aria-label");
