"""The local trace store: takes spans over OTLP/HTTP and keeps the last traces in SQLite."""
