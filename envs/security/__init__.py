"""Security: checksums, permissions, secrets, certificates, audits."""
