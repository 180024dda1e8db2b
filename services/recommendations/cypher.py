"""Cypher statements that run on ArcadeDB and on Neo4j 5.

Groupings carry only ids, never nodes: ArcadeDB bounds what a query holds in memory.
Customers are stored with the label Client: docs/decisions/0010-names.md.
"""

SCHEMA = (
    "CREATE CONSTRAINT IF NOT EXISTS FOR (c:Client) REQUIRE c.user_id IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (p:Product) REQUIRE p.product_id IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (e:Event) REQUIRE e.event_id IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (o:CancelledOrder) REQUIRE o.order_id IS UNIQUE",
    "CREATE INDEX IF NOT EXISTS FOR (c:Client) ON (c.animal_type)",
    "CREATE INDEX IF NOT EXISTS FOR (p:Product) ON (p.sku)",
    "CREATE INDEX IF NOT EXISTS FOR (p:Product) ON (p.category)",
    "CREATE INDEX IF NOT EXISTS FOR (p:Product) ON (p.buyers)",
    "CREATE INDEX IF NOT EXISTS FOR (p:Product) ON (p.category, p.buyers)",
)

# Products of before `buyers` was stored, in batches; until then their count stays null.
COUNT_BUYERS = """
MATCH (p:Product) WHERE p.buyers IS NULL
WITH p LIMIT 1000 SET p.buyers = COUNT { (p)<-[:BOUGHT]-() } RETURN count(*) AS changed
"""

PING = "RETURN 1 AS one"

# Events.

# MERGE waits for a concurrent transaction that creates the same node; CREATE would fail after it.
RECORD_EVENTS = """
UNWIND $event_ids AS event_id
MERGE (e:Event {event_id: event_id}) ON CREATE SET e.remembered_by = $call
RETURN event_id, e.remembered_by = $call AS is_new
"""

# Every change of a customer's purchases writes to the customer first, which serializes the
# changes of one customer.
LOCK_CUSTOMERS = """
UNWIND $customers AS customer
MERGE (c:Client {user_id: customer.user_id})
ON CREATE SET c.animal_type = '', c.version = 0, c.as_of = -1, c.bucket = customer.bucket
SET c.changed_by = $call
"""
# The highest version is the newest; time decides among events of before versions, which have 0.
# Customers that were stored before versions have none.
UPDATE_CUSTOMERS = """
UNWIND $customers AS customer
MATCH (c:Client {user_id: customer.user_id})
WHERE coalesce(c.version, 0) < customer.version
   OR (coalesce(c.version, 0) = customer.version AND c.as_of < customer.as_of)
SET c.animal_type = customer.animal_type, c.version = customer.version, c.as_of = customer.as_of
"""

UPSERT_PRODUCTS = """
UNWIND $products AS product
MERGE (p:Product {product_id: product.product_id})
ON CREATE SET p.as_of = -1, p.buyers = 0
WITH p, product WHERE p.as_of < product.as_of
SET p.sku = product.sku, p.title = product.title, p.category = product.category,
    p.as_of = product.as_of
"""

# Orders. A purchase holds the orders that it comes from, with their times, and when it was
# trained (0: never).

FIND_CANCELLED_ORDERS = (
    "MATCH (o:CancelledOrder) WHERE o.order_id IN $order_ids RETURN o.order_id AS order_id"
)
RECORD_CANCELLED_ORDER = "MERGE (:CancelledOrder {order_id: $order_id})"

ENSURE_PURCHASES = """
UNWIND $purchases AS purchase
MATCH (c:Client {user_id: purchase.user_id})
MATCH (p:Product {product_id: purchase.product_id})
MERGE (c)-[b:BOUGHT]->(p)
ON CREATE SET b.orders = [], b.times = [], b.trained_at = 0, b.last_at = 0,
    p.buyers = p.buyers + 1
RETURN purchase.user_id AS user_id, purchase.product_id AS product_id,
       b.orders AS orders, b.times AS times, b.last_at AS last_at
"""
PURCHASES_OF_ORDER = """
MATCH (:Client {user_id: $user_id})-[b:BOUGHT]->(p:Product) WHERE $order_id IN b.orders
RETURN p.product_id AS product_id, b.orders AS orders, b.times AS times,
       b.trained_at AS trained_at
"""
REPLACE_PURCHASES = """
UNWIND $purchases AS purchase
MATCH (:Client {user_id: purchase.user_id})-[b:BOUGHT]->(:Product {product_id: purchase.product_id})
SET b.orders = purchase.orders, b.times = purchase.times, b.last_at = purchase.last_at
"""
DELETE_EMPTY_PURCHASES = """
MATCH (:Client {user_id: $user_id})-[b:BOUGHT]->(p:Product) WHERE b.last_at = 0
SET p.buyers = p.buyers - 1 DELETE b
"""

# Training.

FIND_PRODUCTS = """
MATCH (p:Product) WHERE p.product_id IN $ids
RETURN p.product_id AS product_id, p.sku AS sku
UNION
MATCH (p:Product) WHERE p.sku IN $skus
RETURN p.product_id AS product_id, p.sku AS sku
"""
TRAIN = """
MATCH (:Client {user_id: $user_id})-[b:BOUGHT]->(p:Product)
WHERE p.product_id IN $product_ids AND b.trained_at = 0
SET b.trained_at = $as_of,
    b.last_at = CASE WHEN b.last_at > $as_of THEN b.last_at ELSE $as_of END
"""
FIND_PURCHASED = """
MATCH (:Client {user_id: $user_id})-[:BOUGHT]->(p:Product) WHERE p.product_id IN $product_ids
RETURN p.product_id AS product_id
"""

# Candidates. A bucket is a random number from 0 to 9,999 that a customer keeps: the customers
# below a bound are a sample, the same one each time. A label stands only where a search starts;
# anywhere else, Neo4j would start there.

PRODUCT = """p.product_id AS product_id, p.sku AS sku, p.title AS title, p.category AS category"""
BUYERS = "coalesce(p.buyers, 0) AS buyers"

VERSION = "MATCH (c:Client {user_id: $user_id}) RETURN c.changed_by AS version"
ANIMAL = "MATCH (c:Client {user_id: $user_id}) RETURN c.animal_type AS animal_type"
PURCHASES = f"""
MATCH (:Client {{user_id: $user_id}})-[b:BOUGHT]->(p:Product)
RETURN {PRODUCT}, size(b.orders) AS orders, b.trained_at AS trained_at, b.last_at AS last_at,
       {BUYERS}
"""
# Thousands of paths are grouped here: a condition on each path costs more than one on the
# groups, and the maximum of pairs finds the closest purchase without sorting.
CO_PURCHASES = f"""
UNWIND $recent AS recent
MATCH (i:Product {{product_id: recent.product_id}})<-[:BOUGHT]-(buyer)
WHERE buyer.bucket < recent.bound AND buyer.user_id <> $user_id
MATCH (buyer)-[:BOUGHT]->(p)
WITH p.product_id AS product_id, recent.product_id AS source_id, recent.weight AS weight,
     count(*) AS shared_buyers
WHERE NOT product_id IN $bought
WITH product_id, sum(weight * shared_buyers) AS strength, sum(shared_buyers) AS shared_buyers,
     max([weight * shared_buyers, source_id])[1] AS source_id
ORDER BY strength DESC, product_id LIMIT $max_rows
MATCH (p:Product {{product_id: product_id}}) WHERE p.title <> ''
RETURN {PRODUCT}, strength, source_id, shared_buyers, {BUYERS}
"""
COUNT_WITH_ANIMAL = "MATCH (c:Client {animal_type: $animal_type}) RETURN count(*) AS customers"
POPULAR_WITH_ANIMAL = f"""
MATCH (c:Client {{animal_type: $animal_type}})-[:BOUGHT]->(p)
WHERE c.bucket < $bound AND p.title <> '' AND NOT p.product_id IN $bought
WITH p.product_id AS product_id, count(*) AS buyers
ORDER BY buyers DESC, product_id LIMIT $max_rows
MATCH (p:Product {{product_id: product_id}})
RETURN {PRODUCT}, buyers
"""
_POPULAR = f"""
MATCH (p:Product)
WHERE {{condition}} p.buyers > 0 AND p.title <> '' AND NOT p.product_id IN $bought
RETURN {PRODUCT}, {BUYERS} ORDER BY p.buyers DESC, p.product_id LIMIT $max_rows
"""
POPULAR_IN_CATEGORY = _POPULAR.replace("{condition}", "p.category = $category AND")
POPULAR_OVERALL = _POPULAR.replace("{condition}", "")

# Deletion, each in batches until nothing is left. Processed events are deleted last: an event
# that arrives meanwhile is applied again by the replay.

DELETE_EVENT_DATA = (
    """
    MATCH ()-[b:BOUGHT]->(p) WHERE b.trained_at = 0
    WITH b, p LIMIT 2000 SET p.buyers = p.buyers - 1 DELETE b RETURN count(*) AS changed
    """,
    """
    MATCH ()-[b:BOUGHT]->() WHERE size(b.orders) > 0
    WITH b LIMIT 2000 SET b.orders = [], b.times = [], b.last_at = b.trained_at
    RETURN count(*) AS changed
    """,
    """
    MATCH (c:Client) WHERE NOT (c)-[:BOUGHT]->()
    WITH c LIMIT 2000 DETACH DELETE c RETURN count(*) AS changed
    """,
    """
    MATCH (p:Product) WHERE NOT (p)<-[:BOUGHT]-()
    WITH p LIMIT 2000 DETACH DELETE p RETURN count(*) AS changed
    """,
    "MATCH (o:CancelledOrder) WITH o LIMIT 2000 DELETE o RETURN count(*) AS changed",
    "MATCH (e:Event) WITH e LIMIT 2000 DELETE e RETURN count(*) AS changed",
)
