// Draw the formulas; a wide one scrolls, by the keyboard too. (First draw all, then measure: the page is laid out once.)
for (const place of document.querySelectorAll(".math"))
    katex.render(place.textContent, place, { displayMode: place.tagName === "DIV", throwOnError: false });
for (const place of document.querySelectorAll("div.math")) if (place.scrollWidth > place.clientWidth) place.tabIndex = 0;
// The theme's search button is named as it reads.
for (const button of document.querySelectorAll(".search-button-field")) button.removeAttribute("aria-label");
