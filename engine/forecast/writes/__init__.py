"""What the target writes, judged by what it wrote before. Nothing here knows what a link costs."""
