// What somebody writes who has the API's description and nothing else. `schema.d.ts` is generated from it; what
// is wrong here does not compile, and a line that must not compile says so.

import assert from "node:assert/strict";

import createClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

const baseUrl = process.argv[2] ?? "";
assert.ok(baseUrl, "node client.js BASE_URL");
const password = "correct-horse-battery";

type Product = components["schemas"]["Product"];
type Pair = components["schemas"]["SignedIn"];

function client(authorization?: string) {
  return createClient<paths>({ baseUrl, ...(authorization ? { headers: { Authorization: authorization } } : {}) });
}

async function signIn(email: string, tenant_id?: string): Promise<Pair> {
  const { data, error, response } = await client().POST("/api/token/", {
    body: { email, password, ...(tenant_id ? { tenant_id } : {}) },
  });
  if (error) throw new Error(`${response.status} ${error.code}: ${error.detail}`);
  return data;
}

function bearer(pair: { access: string }) {
  return client(`Bearer ${pair.access}`);
}

async function products(api: ReturnType<typeof client>): Promise<Product[]> {
  const { data, error } = await api.GET("/api/products/", { params: { query: { page_size: 5, ordering: "sku" } } });
  if (error) throw new Error(error.code);
  assert.ok(data.count > 0);
  return data.results;
}

// Sign in, and list.
const ada = bearer(await signIn("ada@example.com"));
const [first] = await products(ada);
assert.ok(first);
const price: string = first.price; // money is a text, never a float
assert.match(price, /^\d+\.\d\d$/);

// Make, change and delete.
const made = await ada.POST("/api/products/", {
  body: { sku: "TS-1", name: "Typed", price: "1.50", currency: "EUR", category: first.category },
});
assert.equal(made.response.status, 201);
const id = made.data!.id;
const changed = await ada.PATCH("/api/products/{id}/", { params: { path: { id } }, body: { stock: 3 } });
assert.equal(changed.data?.stock, 3);

// Another tenant's member finds it as little as one that never was.
const bob = bearer(await signIn("bob@example.com"));
const theirs = await bob.GET("/api/products/{id}/", { params: { path: { id } } });
const nobodys = await bob.GET("/api/products/{id}/", { params: { path: { id: crypto.randomUUID() } } });
assert.equal(theirs.response.status, 404);
assert.deepEqual(theirs.error, nobodys.error);
assert.equal((await ada.DELETE("/api/products/{id}/", { params: { path: { id } } })).response.status, 204);

// Of two tenants one is named, and switched.
await assert.rejects(signIn("grace@example.com"), /400 tenant_required/);
const grace = await signIn("grace@example.com", "acme");
const switched = await bearer(grace).POST("/api/token/switch/", { body: { tenant_id: "globex" } });
assert.equal(switched.data?.tenant_id, "globex");
const me = await bearer(switched.data!).GET("/api/me/");
assert.equal(me.data?.tenant.id, "globex");

// Refused: who belongs nowhere; who may only read; a refresh that is used twice.
await assert.rejects(signIn("eve@example.com"), /403 tenant_forbidden/);
const written = await bearer(grace).POST("/api/categories/", { body: { name: "No" } });
assert.equal(written.response.status, 403);
assert.equal(written.error?.code, "forbidden");
const once = await client().POST("/api/token/refresh/", { body: { refresh: grace.refresh } });
assert.equal(once.response.status, 200);

// A machine's key reads, and is no person.
const key = await ada.POST("/api/keys/", { body: { name: "Typed job", role: "viewer" } });
const machine = client(`Api-Key ${key.data!.key}`);
assert.ok((await products(machine)).length > 0);
assert.equal((await machine.GET("/api/me/")).error?.code, "person_required");
assert.equal((await ada.DELETE("/api/keys/{id}/", { params: { path: { id: key.data!.id } } })).response.status, 204);
assert.equal((await machine.GET("/api/products/")).error?.code, "key_not_valid");

// What the description does not have does not compile.
export async function neverCompiles() {
  // @ts-expect-error: no such path
  await ada.GET("/api/secrets/");
  // @ts-expect-error: a name that is spelt wrong
  await ada.POST("/api/categories/", { body: { nmae: "x" } });
  // @ts-expect-error: a role that a key cannot have
  await ada.POST("/api/keys/", { body: { name: "x", role: "owner" } });
  // @ts-expect-error: money is no number
  await ada.PATCH("/api/products/{id}/", { params: { path: { id } }, body: { price: 1.5 } });
}

console.log("all is as described");
