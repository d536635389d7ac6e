// Inside the Airflow UI the page has its font and is as dark as the UI, whatever the system prefers; alone it follows the system.
(() => {
    const outside = window.parent !== window && window.parent.document.documentElement;
    if (!outside) return;
    document.documentElement.style.setProperty("--font", window.parent.getComputedStyle(window.parent.document.body).fontFamily);
    const follow = () => {
        const dark = outside.classList.contains("dark") || outside.dataset.theme === "dark";
        document.documentElement.dataset.theme = dark ? "dark" : "light";
    };
    follow();
    new MutationObserver(follow).observe(outside, { attributes: true, attributeFilter: ["class", "data-theme"] });
})();
