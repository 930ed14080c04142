"""What comes of it: a plain sparse model, its report, its pictures, its files."""
