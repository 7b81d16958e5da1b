(...inputs) => {
    // On pressing the button: scroll to where the result of the open tab will be seen. Passes the inputs on.
    const phone = window.innerWidth < 700;
    const result = [...document.querySelectorAll(".result")].find((part) => part.offsetParent);
    if (phone) result.style.minHeight = "80vh"; // so that it can be scrolled to the top
    result.querySelector('[id^="says-"]').scrollIntoView({ block: phone ? "start" : "nearest" });
    return inputs;
}
