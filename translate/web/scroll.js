(...inputs) => {
    // On Translate: scroll to where the result will be seen. Passes the inputs on.
    const phone = window.innerWidth < 700;
    if (phone) document.querySelector("#result").style.minHeight = "80vh"; // so that it can be scrolled to the top
    document.querySelector("#says").scrollIntoView({ block: phone ? "start" : "nearest" });
    return inputs;
}
