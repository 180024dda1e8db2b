"""What is said to the graph: Cypher that ArcadeDB and Neo4j 5 understand alike.

Nodes are never carried through a grouping, only their ids: ArcadeDB counts what a query
holds in memory, and refuses one that holds much.
"""

SCHEMA = (
    "CREATE CONSTRAINT IF NOT EXISTS FOR (c:Client) REQUIRE c.user_id IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (p:Product) REQUIRE p.product_id IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (e:Event) REQUIRE e.event_id IS UNIQUE",
    "CREATE CONSTRAINT IF NOT EXISTS FOR (o:CancelledOrder) REQUIRE o.order_id IS UNIQUE",
    "CREATE INDEX IF NOT EXISTS FOR (c:Client) ON (c.animal_type)",
    "CREATE INDEX IF NOT EXISTS FOR (p:Product) ON (p.sku)",
    "CREATE INDEX IF NOT EXISTS FOR (p:Product) ON (p.category)",
)

PING = "RETURN 1 AS one"

# Events.

# Merging waits for others who make the same node; creating would fail after them.
REMEMBER_EVENT = """
MERGE (e:Event {event_id: $event_id}) ON CREATE SET e.remembered_by = $call
RETURN e.remembered_by = $call AS is_new
"""

# Whoever changes what a client bought writes to the client first: so changes of one client
# are made one after the other.
LOCK_CLIENT = """
MERGE (c:Client {user_id: $user_id})
ON CREATE SET c.animal_type = '', c.as_of = -1, c.bucket = $bucket
SET c.changed_by = $call
"""
TELL_CLIENT = """
MATCH (c:Client {user_id: $user_id}) WHERE c.as_of < $as_of
SET c.animal_type = $animal_type, c.as_of = $as_of
"""

NAME_PRODUCTS = """
UNWIND $products AS named
MERGE (p:Product {product_id: named.product_id})
ON CREATE SET p.as_of = -1
WITH p, named WHERE p.as_of < $as_of
SET p.sku = named.sku, p.title = named.title, p.category = named.category, p.as_of = $as_of
"""

# Orders. A purchase holds the orders that it is from, with their times, and when it was trained
# (0: it was not).

ORDER_CANCELLED = "MATCH (o:CancelledOrder {order_id: $order_id}) RETURN o.order_id AS order_id"
REMEMBER_CANCELLED = "MERGE (:CancelledOrder {order_id: $order_id})"

ENSURE_PURCHASES = """
UNWIND $product_ids AS product_id
MATCH (c:Client {user_id: $user_id})
MATCH (p:Product {product_id: product_id})
MERGE (c)-[b:BOUGHT]->(p)
ON CREATE SET b.orders = [], b.times = [], b.trained_at = 0, b.last_at = 0
"""
ADD_ORDER = """
MATCH (:Client {user_id: $user_id})-[b:BOUGHT]->(p:Product)
WHERE p.product_id IN $product_ids AND NOT $order_id IN b.orders
SET b.orders = b.orders + [$order_id], b.times = b.times + [$as_of],
    b.last_at = CASE WHEN b.last_at > $as_of THEN b.last_at ELSE $as_of END
"""
PURCHASES_OF_ORDER = """
MATCH (:Client {user_id: $user_id})-[b:BOUGHT]->(p:Product) WHERE $order_id IN b.orders
RETURN p.product_id AS product_id, b.orders AS orders, b.times AS times,
       b.trained_at AS trained_at
"""
REPLACE_PURCHASES = """
UNWIND $purchases AS left
MATCH (:Client {user_id: $user_id})-[b:BOUGHT]->(:Product {product_id: left.product_id})
SET b.orders = left.orders, b.times = left.times, b.last_at = left.last_at
"""
DROP_EMPTY_PURCHASES = """
MATCH (:Client {user_id: $user_id})-[b:BOUGHT]->(:Product) WHERE b.last_at = 0 DELETE b
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
BOUGHT_OF = """
MATCH (:Client {user_id: $user_id})-[:BOUGHT]->(p:Product) WHERE p.product_id IN $product_ids
RETURN p.product_id AS product_id
"""

# What recommendations are made of. A bucket is a number from 0 to 9,999 that a client has by
# chance and keeps: those below a bound are a sample, the same one each time. Labels are only
# said where a search begins; said elsewhere, they make Neo4j begin there.

PRODUCT = """p.product_id AS product_id, p.sku AS sku, p.title AS title, p.category AS category"""
BUYERS = "COUNT { (p)<-[:BOUGHT]-() } AS buyers"

ANIMAL = "MATCH (c:Client {user_id: $user_id}) RETURN c.animal_type AS animal_type"
PURCHASES = f"""
MATCH (:Client {{user_id: $user_id}})-[b:BOUGHT]->(p:Product)
RETURN {PRODUCT}, size(b.orders) AS orders, b.trained_at AS trained_at, b.last_at AS last_at,
       {BUYERS}
"""
# Thousands of paths are grouped here: a condition on each of them costs more than one on what
# was grouped, and the greatest pair tells the closest purchase without sorting.
COMPANIONS = f"""
UNWIND $basis AS known
MATCH (i:Product {{product_id: known.product_id}})<-[:BOUGHT]-(other)
WHERE other.bucket < known.below AND other.user_id <> $user_id
MATCH (other)-[:BOUGHT]->(p)
WITH p.product_id AS product_id, known.product_id AS because, known.weight AS weight,
     count(*) AS together
WHERE NOT product_id IN $bought
WITH product_id, sum(weight * together) AS strength, sum(together) AS together,
     max([weight * together, because])[1] AS because
ORDER BY strength DESC, product_id LIMIT $most
MATCH (p:Product {{product_id: product_id}}) WHERE p.title <> ''
RETURN {PRODUCT}, strength, because, together, {BUYERS}
"""
COUNT_WITH_ANIMAL = "MATCH (c:Client {animal_type: $animal_type}) RETURN count(*) AS clients"
WITH_ANIMAL = f"""
MATCH (c:Client {{animal_type: $animal_type}})-[:BOUGHT]->(p)
WHERE c.bucket < $below AND p.title <> '' AND NOT p.product_id IN $bought
WITH p.product_id AS product_id, count(*) AS buyers
ORDER BY buyers DESC, product_id LIMIT $most
MATCH (p:Product {{product_id: product_id}})
RETURN {PRODUCT}, buyers
"""
_MOST_BOUGHT = f"""
WHERE p.title <> '' AND NOT p.product_id IN $bought {{narrowed}}
WITH p, {BUYERS}
WHERE buyers > 0
RETURN {PRODUCT}, buyers ORDER BY buyers DESC, product_id LIMIT $most
"""
IN_CATEGORIES = "MATCH (p:Product)" + _MOST_BOUGHT.replace(
    "{narrowed}", "AND p.category IN $categories"
)
OVERALL = "MATCH (p:Product)" + _MOST_BOUGHT.replace("{narrowed}", "")

# Forgetting, each until nothing is left. Events go last: what is told meanwhile is told again.

FORGET = (
    """
    MATCH ()-[b:BOUGHT]->() WHERE b.trained_at = 0
    WITH b LIMIT 2000 DELETE b RETURN count(*) AS done
    """,
    """
    MATCH ()-[b:BOUGHT]->() WHERE size(b.orders) > 0
    WITH b LIMIT 2000 SET b.orders = [], b.times = [], b.last_at = b.trained_at
    RETURN count(*) AS done
    """,
    """
    MATCH (c:Client) WHERE NOT (c)-[:BOUGHT]->()
    WITH c LIMIT 2000 DETACH DELETE c RETURN count(*) AS done
    """,
    """
    MATCH (p:Product) WHERE NOT (p)<-[:BOUGHT]-()
    WITH p LIMIT 2000 DETACH DELETE p RETURN count(*) AS done
    """,
    "MATCH (o:CancelledOrder) WITH o LIMIT 2000 DELETE o RETURN count(*) AS done",
    "MATCH (e:Event) WITH e LIMIT 2000 DELETE e RETURN count(*) AS done",
)
