// What wrangler.toml promises, held against the bundle and against itself.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { root } from "./harness.mjs";
import { unstable_readConfig } from "wrangler";

const environments = ["production", "staging"];
const read = (env) => unstable_readConfig({ config: join(root, "wrangler.toml"), env });

test("the bundle exports every object class that wrangler.toml names", () => {
  const bundle = readFileSync(join(root, "build/index.js"), "utf8");
  const exported = [...bundle.matchAll(/export\s*\{([^}]*)\}/g)]
    .flatMap(([, names]) => names.split(","))
    .map((name) => name.trim().split(/\s+as\s+/).at(-1));
  const named = [undefined, ...environments].flatMap((env) => read(env).durable_objects.bindings).map((binding) => binding.class_name);
  assert.ok(named.length > 0);
  for (const name of named) {
    assert.ok(exported.includes(name), `${name} is not among ${exported}`);
  }
});

test("every object class has its migration", () => {
  const { durable_objects, migrations } = read();
  const made = migrations.flatMap((migration) => migration.new_sqlite_classes ?? []);
  assert.deepEqual(durable_objects.bindings.map((binding) => binding.class_name).sort(), made.sort());
});

for (const env of environments) {
  test(`${env} has the bindings, queues and limits of development`, () => {
    assert.deepEqual(shape(read(env), env), shape(read()));
  });

  test(`${env} lets no private address through and has no test hooks`, () => {
    const { vars } = read(env);
    assert.equal(vars.ALLOW_PRIVATE_ADDRESSES, undefined);
    assert.equal(vars.TEST_HOOKS, undefined);
  });

  test(`a dry run of a deployment to ${env} prints the plan without a network`, async () => {
    const { stdout } = await promisify(execFile)(join(root, "scripts/deploy"), ["--dry-run", "--env", env], {
      env: {
        ...process.env,
        POSTERN_BUILD: "ready",
        CLOUDFLARE_API_BASE_URL: "http://127.0.0.1:9", // nobody listens there
        CLOUDFLARE_API_TOKEN: "",
      },
    });
    for (const { queue } of read(env).queues.producers) {
      assert.ok(stdout.includes(queue), `the plan does not name ${queue}`);
    }
    assert.match(stdout, /MASTER_KEYS/);
    assert.match(stdout, /--dry-run: exiting now/);
  });
}

test("a deployment to an environment that is not there says which are", async () => {
  await assert.rejects(
    promisify(execFile)(join(root, "scripts/deploy"), ["--env", "moon"], { env: { ...process.env, POSTERN_BUILD: "ready" } }),
    (error) => /no environment 'moon': production, staging/.test(error.stderr),
  );
});

/** All that must not differ between environments: names of queues and of the database, and values, may. */
function shape(config, env) {
  const plain = (queue) => (env === "staging" ? queue.replace("postern-staging-", "postern-") : queue);
  return {
    flags: [config.compatibility_date, config.compatibility_flags],
    databases: config.d1_databases.map(({ binding, migrations_dir }) => ({ binding, migrations_dir })),
    objects: config.durable_objects.bindings,
    buckets: config.r2_buckets.map(({ binding, bucket_name }) => ({ binding, bucket_name: plain(bucket_name) })),
    producers: config.queues.producers.map(({ binding, queue }) => ({ binding, queue: plain(queue) })),
    consumers: config.queues.consumers.map((consumer) => ({ ...consumer, queue: plain(consumer.queue) })),
    vars: Object.keys(config.vars).sort(),
    assets: config.assets,
    triggers: config.triggers,
    observability: config.observability,
  };
}
