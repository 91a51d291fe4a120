"""The pages for people: rendered here, plain HTML, no script, nothing fetched from third parties."""
