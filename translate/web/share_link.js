async (direction, strength, size, seed, fast) => {
    // Puts the settings, and nothing else, into the address of this page, and that address into the clipboard.
    const link = new URL(location.href);
    link.search = new URLSearchParams({ direction, strength, size, seed, ...(fast ? { fast } : {}) });
    history.replaceState(null, "", link);
    try {
        await navigator.clipboard.writeText(link);
        return "Copied. Whoever opens the link finds these settings, and nothing of your photo.";
    } catch {
        return `Copy it from here or from the address bar: ${link}`;
    }
}
