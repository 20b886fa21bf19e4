"""The fault drill: a short study to which everything happens, compared with one to which nothing does."""
