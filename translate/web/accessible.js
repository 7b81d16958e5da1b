() => {
    // What Gradio leaves unsaid to screen readers: which lines tell news, and what pictures and their buttons show.
    const name = (element, words) => {
        if (element && element.getAttribute("aria-label") !== words) element.setAttribute("aria-label", words);
    };
    const describe = () => {
        for (const line of document.querySelectorAll('[id^="says-"], [id^="warns-"], #shared')) {
            if (!line.hasAttribute("aria-live")) line.setAttribute("aria-live", "polite");
        }
        document.querySelectorAll("#examples button").forEach((button, n) => name(button, `Take example photo ${n + 1}`));
        for (const box of document.querySelectorAll(".photo, #photos, #paintings")) {
            for (const drop of box.querySelectorAll("button[aria-dropeffect]")) {
                name(drop, drop.textContent.replace(/\s+/g, " ").trim() || "Add pictures");
            }
            name(box.querySelector('[aria-label^="common."]'), "Add pictures"); // a word that Gradio has forgotten
        }
        for (const screen of document.querySelectorAll(".screen")) {
            screen.querySelectorAll("img").forEach((img, n) => (img.alt = ["Before", "After"][n] || ""));
        }
        for (const [part, words] of [[".photo", "Your photo"], ["#changed-photo, #changed-style", "What changed"]]) {
            document.querySelectorAll(part).forEach((box) => box.querySelectorAll("img").forEach((img) => (img.alt = words)));
        }
    };
    new MutationObserver(describe).observe(document.body, { childList: true, subtree: true });
    describe();
}
