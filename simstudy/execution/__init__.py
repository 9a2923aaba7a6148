"""From what is pending to what is stored: workers, limits, progress, interrupts, replay."""
