"""What people look at: the page, its words, and the tables for papers."""
