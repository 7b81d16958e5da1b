(file) => {
    // Save a file that the server has made to the visitor's disk.
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name || "";
    document.body.append(link);
    link.click();
    link.remove();
}
