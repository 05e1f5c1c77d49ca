// Draw the formulas. One that is wider than the page scrolls, and then the keyboard must reach it; an answer that opens
// or a phone that is turned changes its size.
const wide = new ResizeObserver((all) => {
    for (const { target } of all)
        if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
        else target.removeAttribute("tabindex");
});
for (const place of document.querySelectorAll(".math")) {
    const block = place.tagName === "DIV";
    katex.render(place.textContent, place, { displayMode: block, throwOnError: false });
    if (block) wide.observe(place);
}
// The theme's search button is named as it reads.
for (const button of document.querySelectorAll(".search-button-field")) button.removeAttribute("aria-label");
