"""What a study found: rows, tables, figures and the page, beside the numbers of the paper."""
