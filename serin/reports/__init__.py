"""Pages and plots that a person reads: self-contained HTML with inline SVG."""
