import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createStagingDatabase } from '../../../src/postgres/restore.ts';
import type { ClientTools } from '../../../src/postgres/tools.ts';
import { type PostgresServer, startPostgres } from '../../support/postgres.ts';
import { dump, fill, settingsOf, type Taken, tools } from './pipeline.ts';

const sql = `
CREATE SCHEMA shop; CREATE SCHEMA lib; CREATE SCHEMA unrelated;
CREATE EXTENSION hstore SCHEMA lib;
CREATE TYPE shop.state AS ENUM ('new', 'paid');
CREATE FUNCTION lib.positive(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE DOMAIN lib.amount AS int CHECK (lib.positive(VALUE));
CREATE COLLATION lib.german (provider = icu, locale = 'de');
CREATE SEQUENCE lib.numbers START 100;
CREATE FUNCTION lib.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.name := new.name || '!'; RETURN new; END $$;
CREATE TABLE shop.customers (id serial PRIMARY KEY, name text, st shop.state DEFAULT 'new', amount lib.amount, extra lib.hstore);
CREATE TRIGGER touched BEFORE INSERT ON shop.customers FOR EACH ROW EXECUTE FUNCTION lib.touch();
CREATE TABLE shop.orders (
  id serial, number int DEFAULT nextval('lib.numbers'), at date, name text COLLATE lib.german,
  customer int REFERENCES shop.customers, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE shop.orders_2026 PARTITION OF shop.orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE shop.orders_rest PARTITION OF shop.orders DEFAULT;
CREATE INDEX ON shop.orders (name);
CREATE TABLE unrelated.t (id int);
CREATE TABLE public.plain (id int);
CREATE VIEW shop.totals AS SELECT c.id, c.name, count(o.id) FROM shop.customers c LEFT JOIN shop.orders o ON o.customer = c.id GROUP BY c.id;
CREATE MATERIALIZED VIEW shop.kept AS SELECT count(*) AS n FROM shop.customers;
INSERT INTO shop.customers (name, amount, extra) VALUES ('Ada', 1, 'a=>1'), ('Bo', 2, NULL);
INSERT INTO shop.orders (at, name, customer) VALUES ('2026-05-05', 'ä', 1), ('1999-01-01', 'z', 2), ('2026-06-06', 'b', 2);
`;

describe('tables and schemas restored alone', () => {
  let server: PostgresServer;
  let used: ClientTools;
  let taken: Taken;
  let run = 0;

  beforeAll(async () => {
    [server, used] = await Promise.all([startPostgres(17), tools(17)]);
    await server.query('CREATE DATABASE src');
    await server.query(sql, 'src');
    taken = await dump(settingsOf(server, 'src'), used);
  });
  afterAll(async () => {
    await server?.stop();
  });

  async function restored(selection: { readonly tables?: string[]; readonly schemas?: string[] }) {
    run += 1;
    const staging = await createStagingDatabase(settingsOf(server, 'copy'), {
      source: taken.snapshot.source,
      finalName: 'copy',
      runId: `x-sel${String(run).padStart(3, '0')}`,
      noOwner: false,
    });
    await fill(staging, taken.archive, used, selection);
    const query = (text: string) => server.query(text, staging.name);
    const names = async () => {
      const rows = await query(`SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
                                   AND relnamespace::regnamespace::text IN ('shop', 'lib', 'unrelated', 'public')`);
      return rows.map(({ name }) => String(name)).sort();
    };
    return { query, names, [Symbol.asyncDispose]: () => staging[Symbol.asyncDispose]() };
  }

  it('brings a table with its schema, types, domains, functions, extension, serial, trigger and rows, and nothing else', async () => {
    await using copy = await restored({ tables: ['shop.customers'] });
    expect(await copy.names()).toEqual(['shop.customers', 'shop.customers_id_seq']);
    expect(
      await copy.query(
        "INSERT INTO shop.customers (name, amount, extra) VALUES ('Cy', 3, 'b=>2') RETURNING id, name, st, (extra::text) AS extra",
      ),
    ).toEqual([{ id: 3, name: 'Cy!', st: 'new', extra: '"b"=>"2"' }]);
    await expect(copy.query('INSERT INTO shop.customers (amount) VALUES (-1)')).rejects.toThrow('violates check constraint');
    await expect(copy.query('INSERT INTO shop.customers (id) VALUES (1)')).rejects.toThrow('customers_pkey');
  });

  it('brings a partition alone, below its parent, with its indexes, and without the rows of the others', async () => {
    await using copy = await restored({ tables: ['shop.orders_2026'] });
    expect(await copy.names()).toEqual(['lib.numbers', 'shop.orders', 'shop.orders_2026', 'shop.orders_id_seq']);
    expect(await copy.query('SELECT id, name FROM shop.orders ORDER BY name COLLATE lib.german')).toEqual([
      { id: 1, name: 'ä' },
      { id: 3, name: 'b' },
    ]);
    expect(
      await copy.query("INSERT INTO shop.orders (at, name) VALUES ('2026-07-07', 'c') RETURNING id, number, tableoid::regclass::text AS t"),
    ).toEqual([{ id: 4, number: 103, t: 'shop.orders_2026' }]);
    const indexes = "SELECT indexrelid::regclass::text AS i FROM pg_index WHERE indrelid = 'shop.orders_2026'::regclass AND indisvalid";
    expect((await copy.query(indexes)).map(({ i }) => i).sort()).toEqual(['shop.orders_2026_name_idx', 'shop.orders_2026_pkey']);
  });

  it('brings a partitioned table with all its partitions', async () => {
    await using copy = await restored({ tables: ['shop.orders'] });
    expect(await copy.query('SELECT count(*)::int AS n FROM shop.orders')).toEqual([{ n: 3 }]);
  });

  it('brings a view with the tables that it reads, which are empty', async () => {
    await using copy = await restored({ tables: ['shop.totals', 'shop.kept'] });
    expect(await copy.names()).toEqual(expect.arrayContaining(['shop.customers', 'shop.orders', 'shop.totals']));
    expect(await copy.query('SELECT * FROM shop.totals')).toEqual([]);
    // Refreshed now, it would say that there were none.
    await expect(copy.query('SELECT * FROM shop.kept')).rejects.toThrow('has not been populated');
  });

  it('brings a schema with what it needs of others, and both ends of a foreign key keep it', async () => {
    await using copy = await restored({ schemas: ['shop'] });
    expect(await copy.query("SELECT conname FROM pg_constraint WHERE contype = 'f' AND conparentid = 0")).toEqual([
      { conname: 'orders_customer_fkey' },
    ]);
    expect(await copy.query('SELECT id, count::int AS n FROM shop.totals ORDER BY id')).toEqual([
      { id: 1, n: 1 },
      { id: 2, n: 2 },
    ]);
    expect(await copy.query('SELECT n::int FROM shop.kept')).toEqual([{ n: 2 }]);
    expect((await copy.names()).filter((name) => /unrelated|plain/.test(name))).toEqual([]);
  });

  it('refuses a name that the backup does not have, before anything is restored', async () => {
    await expect(restored({ tables: ['shop.custmers'] })).rejects.toMatchObject({
      code: 'usage',
      message: 'the backup has no table "shop.custmers" (did you mean "shop.customers"?)',
    });
  });
});
