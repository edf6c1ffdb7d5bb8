import type { CheckId } from '../../src/core/verification.ts';

/** What the damaged database and its roles are made of: every kind of object that a check looks at. Roles live on the server. */
export const shopRoles = `
  DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_reader') THEN CREATE ROLE shop_reader; END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop_owner') THEN CREATE ROLE shop_owner; END IF;
  END $$`;

export const shop = `
  CREATE EXTENSION pg_trgm VERSION '1.5';
  CREATE SCHEMA shop AUTHORIZATION shop_owner;
  CREATE TYPE shop.state AS ENUM ('open', 'paid');
  CREATE SEQUENCE shop.numbers;
  CREATE TABLE shop.customers (id int PRIMARY KEY, name text NOT NULL, email text CHECK (email LIKE '%@%'));
  CREATE TABLE shop.leads (id int PRIMARY KEY, name text NOT NULL, email text CHECK (email LIKE '%@%'));
  CREATE TABLE shop.invoices (
    id int PRIMARY KEY DEFAULT nextval('shop.numbers'), customer int NOT NULL REFERENCES shop.customers, state shop.state NOT NULL,
    total numeric NOT NULL CONSTRAINT total_positive CHECK (total >= 0), due date, paid date);
  CREATE FUNCTION shop.initials(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.substr(name, 1, 1) $$;
  CREATE INDEX customers_initials ON shop.customers (shop.initials(name));
  CREATE INDEX customers_name ON shop.customers USING gin (name public.gin_trgm_ops);
  CREATE INDEX invoices_open ON shop.invoices (customer) WHERE state = 'open';
  CREATE INDEX invoices_due ON shop.invoices (due);
  CREATE INDEX invoices_paid ON shop.invoices (paid);
  INSERT INTO shop.customers SELECT n, 'customer ' || n, n || '@example.org' FROM generate_series(1, 200) AS n;
  INSERT INTO shop.leads SELECT n, 'lead ' || n, n || '@example.com' FROM generate_series(1001, 1050) AS n;
  INSERT INTO shop.invoices (customer, state, total, due, paid)
    SELECT n % 200 + 1, (CASE n % 3 WHEN 0 THEN 'open' ELSE 'paid' END)::shop.state, n * 1.25, DATE '2026-01-01' + n, DATE '2026-01-01' + (n * 7) % 1000
    FROM generate_series(1, 1000) AS n;
  CREATE TABLE shop.old_invoices (id int, customer int);
  INSERT INTO shop.old_invoices VALUES (1, 1), (2, 999);
  ALTER TABLE shop.old_invoices ADD CONSTRAINT old_customer FOREIGN KEY (customer) REFERENCES shop.customers NOT VALID;
  CREATE TABLE shop.visits (day date NOT NULL, page text) PARTITION BY RANGE (day);
  CREATE TABLE shop.visits_2026 PARTITION OF shop.visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  CREATE TABLE shop.visits_2027 PARTITION OF shop.visits FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
  CREATE INDEX visits_day ON shop.visits (day);
  CREATE INDEX visits_page ON ONLY shop.visits (page);
  INSERT INTO shop.visits SELECT DATE '2026-06-01' + n, 'page ' || n % 7 FROM generate_series(1, 400) AS n;
  ALTER TABLE shop.invoices ENABLE ROW LEVEL SECURITY;
  CREATE POLICY unpaid ON shop.invoices FOR SELECT TO shop_reader USING (state = 'open');
  GRANT USAGE ON SCHEMA shop TO shop_reader;
  GRANT SELECT ON shop.invoices, shop.customers TO shop_reader;
  ALTER TABLE shop.customers OWNER TO shop_owner;
  CREATE MATERIALIZED VIEW shop.turnover AS SELECT state, sum(total) AS total FROM shop.invoices GROUP BY state;
  SELECT lo_from_bytea(7001, decode(repeat('ab', 3000), 'hex'));
`;

/** To be recorded at backup (`values`), and asked of the restored database (`queries`), by the names that an application uses. */
export const shopValues = [
  { name: 'turnover', sql: 'SELECT sum(total) FROM shop.invoices' },
  { name: 'nothing yet', sql: 'SELECT max(due) FROM shop.invoices WHERE id < 0' },
];
export const shopQueries = [
  { name: 'customers', sql: 'SELECT count(*) FROM customers', expect: '200' },
  {
    name: 'each invoice has its customer',
    sql: 'SELECT count(*) = 0 FROM invoices LEFT JOIN customers c ON c.id = customer WHERE c.id IS NULL;',
    expect: undefined,
  },
];

export interface Damage {
  readonly name: string;
  /** Run by a superuser in the restored database, or in an equal one. */
  readonly sql: string;
  /** All that must fail, in their order; empty: nothing, but one of them tells of it. */
  readonly fails: readonly CheckId[];
  /** Which check says it, and what. */
  readonly by: CheckId;
  readonly finding: RegExp;
}

/** What may have happened to the database above between the source and the restored copy. */
export const damages: readonly Damage[] = [
  {
    name: 'a row missing',
    sql: 'DELETE FROM shop.leads WHERE id = 1007',
    fails: ['fingerprint'],
    by: 'fingerprint',
    finding: /^shop\.leads: 1 row missing \(50 at backup, 49 now\)$/,
  },
  {
    name: 'a row altered',
    sql: 'UPDATE shop.leads SET email = upper(email) WHERE id = 1007',
    fails: ['fingerprint'],
    by: 'fingerprint',
    finding: /^shop\.leads: as many rows \(50\), but their content is not the same$/,
  },
  {
    name: 'a value that the backup recorded altered',
    sql: 'UPDATE shop.invoices SET total = total + 0.01 WHERE id = 500',
    fails: ['fingerprint', 'values'],
    by: 'values',
    finding: /^the value "turnover" is "625625\.01", at backup "625625\.00"$/,
  },
  {
    name: 'two rows swapped between tables',
    sql: `UPDATE shop.customers SET name = 'lead 1007', email = '1007@example.com' WHERE id = 7;
          UPDATE shop.leads SET name = 'customer 7', email = '7@example.org' WHERE id = 1007`,
    fails: ['fingerprint'],
    by: 'fingerprint',
    finding: /^shop\.customers: as many rows \(200\)/,
  },
  {
    name: 'a sequence behind',
    sql: `SELECT setval('shop.numbers', 990)`,
    fails: ['fingerprint'],
    by: 'fingerprint',
    finding: /^shop\.numbers: the sequence is behind \(1000 at backup, 990 now\)/,
  },
  {
    name: 'a large object altered',
    sql: `SELECT lo_put(7001, 2500, '\\x00')`,
    fails: ['fingerprint'],
    by: 'fingerprint',
    finding: /^large objects: as many \(1\), but their content is not the same$/,
  },
  {
    name: 'a large object lost',
    sql: 'SELECT lo_unlink(7001)',
    fails: ['fingerprint'],
    by: 'fingerprint',
    finding: /^large objects: 1 at backup, 0 now$/,
  },
  {
    name: 'a table lost',
    sql: 'DROP TABLE shop.leads',
    fails: ['fingerprint', 'inventory'],
    by: 'fingerprint',
    finding: /^shop\.leads: the table is missing \(50 rows at backup\)$/,
  },
  {
    name: 'an index missing',
    sql: 'DROP INDEX shop.invoices_open',
    fails: ['inventory'],
    by: 'inventory',
    finding: /^index shop\.invoices_open is missing$/,
  },
  {
    name: 'an index invalid',
    sql: `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.invoices_due'::regclass`,
    fails: ['inventory', 'indexes'],
    by: 'indexes',
    finding: /^the index shop\.invoices_due is not valid$/,
  },
  {
    name: 'an index of a partitioned table invalid',
    sql: `UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'shop.visits_day'::regclass`,
    fails: ['inventory', 'indexes'],
    by: 'indexes',
    finding: /^the index shop\.visits_day is not valid$/,
  },
  {
    name: 'a constraint not validated',
    sql: `ALTER TABLE shop.invoices DROP CONSTRAINT total_positive, ADD CONSTRAINT total_positive CHECK (total >= 0) NOT VALID`,
    fails: ['inventory', 'constraints'],
    by: 'constraints',
    finding: /^the constraint total_positive on shop\.invoices is not validated$/,
  },
  {
    name: 'a constraint lost',
    sql: 'ALTER TABLE shop.invoices DROP CONSTRAINT invoices_customer_fkey',
    fails: ['inventory'],
    by: 'inventory',
    finding: /^constraint invoices_customer_fkey on shop\.invoices is missing$/,
  },
  {
    name: 'a function with another body',
    sql: `CREATE OR REPLACE FUNCTION shop.initials(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.substr(name, 1, 1) || '' $$`,
    fails: ['inventory'],
    by: 'inventory',
    finding: /^function shop\.initials\(text\) is not as it was at backup$/,
  },
  {
    name: 'a function that gives other values than an index holds',
    sql: `CREATE OR REPLACE FUNCTION shop.initials(name text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT pg_catalog.reverse(name) $$`,
    fails: ['inventory', 'amcheck'],
    by: 'amcheck',
    finding: /^shop\.customers_initials: heap tuple .* lacks matching index tuple within index "customers_initials"$/,
  },
  {
    name: 'an index that holds the entries of another',
    sql: `UPDATE pg_class c SET relfilenode = o.relfilenode FROM pg_class o
           WHERE (c.oid, o.oid) IN (('shop.invoices_due'::regclass, 'shop.invoices_paid'::regclass), ('shop.invoices_paid'::regclass, 'shop.invoices_due'::regclass))`,
    fails: ['amcheck'],
    by: 'amcheck',
    finding: /^shop\.invoices_due: heap tuple .* lacks matching index tuple within index "invoices_due"$/,
  },
  {
    name: 'a policy dropped',
    sql: 'DROP POLICY unpaid ON shop.invoices',
    fails: ['inventory'],
    by: 'inventory',
    finding: /^policy unpaid on shop\.invoices is missing$/,
  },
  {
    name: 'a grant lost',
    sql: 'REVOKE SELECT ON shop.invoices FROM shop_reader',
    fails: ['inventory'],
    by: 'inventory',
    finding: /^table shop\.invoices has other privileges: /,
  },
  {
    name: 'an owner changed',
    sql: 'ALTER TABLE shop.customers OWNER TO CURRENT_USER',
    fails: ['inventory'],
    by: 'inventory',
    finding: /^table shop\.customers belongs to \w+, at backup to shop_owner$/,
  },
  {
    name: 'a label of an enum lost',
    sql: `ALTER TYPE shop.state RENAME VALUE 'paid' TO 'settled'`,
    fails: ['fingerprint', 'inventory'],
    by: 'inventory',
    finding: /^type shop\.state is not as it was at backup$/,
  },
  {
    name: 'the row of the canary gone',
    sql: 'DELETE FROM public.jetbackup_canary WHERE written_at = (SELECT max(written_at) FROM public.jetbackup_canary)',
    fails: ['fingerprint', 'canary'],
    by: 'canary',
    finding: /^no row of public\.jetbackup_canary is of the backup /,
  },
  {
    name: 'a row of the canary from after the snapshot',
    sql: `INSERT INTO public.jetbackup_canary SELECT 'later', max(written_at) + interval '1 day' FROM public.jetbackup_canary`,
    fails: ['fingerprint', 'canary'],
    by: 'canary',
    finding: /^public\.jetbackup_canary holds rows from after the moment that the backup is said to show$/,
  },
  {
    name: 'an extension of another version',
    sql: `ALTER EXTENSION pg_trgm UPDATE TO '1.6'`,
    fails: [],
    by: 'inventory',
    finding: /^the extension pg_trgm is of version 1\.6, at backup 1\.5: /,
  },
  {
    name: 'a materialized view that its refresh has changed',
    sql: `CREATE TEMP TABLE kept AS TABLE shop.invoices;
          UPDATE shop.invoices SET total = 0; REFRESH MATERIALIZED VIEW shop.turnover;
          UPDATE shop.invoices i SET total = k.total FROM kept k WHERE k.id = i.id`,
    fails: [],
    by: 'fingerprint',
    finding: /^shop\.turnover was refreshed by the restore and is not as it was /,
  },
  {
    name: 'an empty database',
    sql: `DROP SCHEMA shop CASCADE; DROP TABLE public.jetbackup_canary; DROP EXTENSION pg_trgm; SELECT lo_unlink(7001)`,
    fails: ['fingerprint', 'inventory', 'values', 'canary', 'queries'],
    by: 'fingerprint',
    finding: /^shop\.customers: the table is missing \(200 rows at backup\)$/,
  },
];
