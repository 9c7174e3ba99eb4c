"""System administration: users, permissions, processes, schedules, logs, services."""
