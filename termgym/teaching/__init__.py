"""Words for demonstrations: what a screen shows, what keystrokes are for, and how to say either."""
