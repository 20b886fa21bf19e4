"""What a study found: rows, tables, figures and the page, beside the numbers of the paper."""

from difair_hpc.report.undisturbed import leave_out_settings

leave_out_settings()
