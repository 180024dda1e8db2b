"""Notify those who listen of products that change, for read models."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Create the triggers. New products are not notified of: nobody knows them yet."""
    op.execute(
        """
        CREATE FUNCTION notify_of_product() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('products', NEW.product_id::text);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION notify_of_all_products() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('products', '');
            RETURN NULL;
        END $$
        """
    )
    _notify("products", "AFTER UPDATE", "ROW EXECUTE FUNCTION notify_of_product()")
    _notify("product_ratings", "AFTER INSERT OR UPDATE", "ROW EXECUTE FUNCTION notify_of_product()")
    # No call deletes products; an operator may delete a million.
    for table in ("products", "product_ratings"):
        once = "STATEMENT EXECUTE FUNCTION notify_of_all_products()"
        _notify(table, "AFTER DELETE OR TRUNCATE", once)


def _notify(table: str, event: str, action: str) -> None:
    name = "all_changed" if "DELETE" in event else "changed"
    op.execute(f"CREATE TRIGGER {table}_{name} {event} ON {table} FOR EACH {action}")
