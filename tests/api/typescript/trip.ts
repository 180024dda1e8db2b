// A customer's trip with the types that openapi-typescript generated: node trip.js URL EMAIL PRODUCT
// prints the order's last status.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

type Order = components["schemas"]["Order"];

const ATTEMPTS = 100;
const PAUSE_MS = 200;

function present<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

async function main(baseUrl: string, email: string, id: string): Promise<string> {
  const visitor = createClient<paths>({ baseUrl });
  const account = { email, password: "croquettes pour tous", firstName: "Rosa", lastName: "Martin" };
  const { token } = present(await visitor.POST("/api/users/register", { body: account }));
  const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${token}` } });
  const product = present(await client.GET("/api/products/{id}", { params: { path: { id } } }));
  const placed = present(
    await client.POST("/api/orders", {
      params: { header: { "Idempotency-Key": crypto.randomUUID() } },
      body: {
        items: [{ productId: product.productId, quantity: 2 }],
        shippingAddress: { line1: "1 rue des Lilas", postalCode: "75011", city: "Paris", country: "FR" },
      },
    }),
  );
  let order: Order | undefined;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const path = { id: placed.orderId };
    order = present(await client.GET("/api/orders/{id}", { params: { path } }));
    if (order.status !== "PENDING" && order.status !== "PAYMENT_PROCESSING") break;
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return order?.status ?? "none";
}

const [, , url = "", email = "", product = ""] = process.argv;
console.log(await main(url, email, product));
