"""What the page of a comparison says, part by part: sentences and table rows, without a word of HTML."""
