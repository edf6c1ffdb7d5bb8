import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { encodeManifest, type Manifest, parseManifest } from '../../src/core/manifest.ts';
import { generateSigningKey, loadSigningKey, sign } from '../../src/crypto/signature.ts';
import { createSample, expectFailure, type Installation, makeInstallation } from '../support/installation.ts';
import { type PostgresServer, startPostgres } from '../support/postgres.ts';

const DATABASE = 'source';

describe('a repository in which somebody or something changed', () => {
  let server: PostgresServer;
  let installation: Installation;
  let first: string;
  let second: string;
  let pristine: Map<string, Buffer>;

  const key = (id: string, name: string) => `${DATABASE}/${id}/${name}`;
  const databases = async () => (await server.query('SELECT datname FROM pg_database ORDER BY 1')).map(({ datname }) => datname);

  beforeAll(async () => {
    server = await startPostgres(15);
    await createSample(server, DATABASE, 2);
    installation = await makeInstallation({ server, database: DATABASE });
    first = await installation.backup();
    await server.query("INSERT INTO account VALUES (1000, 'later')", DATABASE);
    second = await installation.backup();
    const { repository } = installation;
    pristine = new Map(await Promise.all((await repository.keys()).map(async (name) => [name, await repository.read(name)] as const)));
  });
  // Refused is not lost: with what was there before, it restores again.
  afterEach(async () => {
    for (const [name, bytes] of pristine) await installation.repository.write(name, bytes);
    installation.proxy.heal();
    await installation.expectNothingLeft();
  });
  afterAll(async () => {
    await installation?.[Symbol.asyncDispose]();
    await server?.stop();
  });

  const change = async (name: string, by: (bytes: Buffer) => Buffer) => {
    await installation.repository.write(name, by(Buffer.from(await installation.repository.read(name))));
  };
  const changeManifest = async (id: string, by: (manifest: Manifest) => Manifest) =>
    change(key(id, 'manifest.json'), (bytes) => Buffer.from(encodeManifest(by(parseManifest(bytes, 'manifest')))));
  const flip = (share: number) => (bytes: Buffer) => {
    const at = Math.floor((bytes.byteLength - 1) * share);
    bytes[at] = (bytes[at] ?? 0) ^ 0b100;
    return bytes;
  };

  async function refusesToRestore(text?: RegExp): Promise<void> {
    const before = await databases();
    const ended = await installation.cli.run('restore', 'latest', '--as', 'restored');
    expectFailure(ended, 22, text);
    expect(await databases()).toEqual(before);
    // No byte that is not authentic reached a program that could have run it.
    expect(installation.proxy.applications.filter((name) => name.includes('pg_restore'))).toEqual([]);
  }

  it.each([0, 0.01, 0.33, 0.5, 0.75, 1])('refuses a dump with one bit turned over at %d of its length', async (share) => {
    await change(key(second, 'dump.pgc.gz.age'), flip(share));
    await refusesToRestore(/is damaged between byte/);
  });

  it.each([0, 0.1, 0.33, 0.5, 0.75, 0.95])(
    'refuses a manifest with one bit turned over at %d of its length, before it touches the server',
    async (share) => {
      await change(key(second, 'manifest.json'), flip(share));
      await refusesToRestore();
      expect(installation.proxy.applications).toEqual([]);
    },
  );

  it.each([
    ['its last byte', (bytes: Buffer) => bytes.subarray(0, -1)],
    ['half of it', (bytes: Buffer) => bytes.subarray(0, bytes.byteLength / 2)],
    ['all of it', () => Buffer.alloc(0)],
  ])('refuses a dump that lost %s, before it touches the server', async (_, cut) => {
    await change(key(second, 'dump.pgc.gz.age'), cut);
    await refusesToRestore(/its manifest says/);
    expect(installation.proxy.applications).toEqual([]);
  });

  it('refuses a backup of which an object is gone', async () => {
    await installation.repository.delete(key(second, 'dump.pgc.gz.age'));
    await refusesToRestore(/is missing/);
  });

  it('refuses a dump that was put in the place of another', async () => {
    const other = pristine.get(key(first, 'dump.pgc.gz.age')) ?? Buffer.alloc(0);
    await installation.repository.write(key(second, 'dump.pgc.gz.age'), other);
    await refusesToRestore();
  });

  it('refuses a damaged fingerprint rather than comparing with it', async () => {
    await change(key(second, 'fingerprint.json.gz.age'), flip(0.5));
    await refusesToRestore(/fingerprint/);
  });

  it('refuses a manifest that was put in the place of another', async () => {
    await installation.repository.write(key(second, 'manifest.json'), pristine.get(key(first, 'manifest.json')) ?? '');
    await refusesToRestore(/is the manifest of another backup/);
  });

  it('refuses a manifest that was changed, also when it was signed again with another key', async () => {
    const stranger = loadSigningKey(generateSigningKey().privatePem, 'a stranger');
    const changed = (manifest: Manifest): Manifest => ({ ...manifest, tags: { approved: 'yes' } });
    await changeManifest(second, changed);
    await refusesToRestore(/signature/);
    await changeManifest(second, (manifest) => sign(changed(manifest), stranger));
    await refusesToRestore(/key/);
  });

  it('refuses a backup that was made for another repository', async () => {
    await change('jetbackup.json', (bytes) => Buffer.from(bytes.toString('utf8').replace(/"id": "[0-9a-f]{8}/, '"id": "00000000')));
    await refusesToRestore(/made for another repository/);
  });

  it('does not list what lost its manifest, and restores the one before it only to who asks for that', async () => {
    await installation.repository.delete(key(second, 'manifest.json'));
    expect(await installation.ids()).toEqual([first]);
    expectFailure(await installation.cli.run('restore', second, '--as', 'restored'), 13);
    const restored = await installation.cli.run('restore', 'latest', '--as', 'restored');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(restored.stdout).toContain(first);
    await server.query('DROP DATABASE restored');
    await installation.repository.write(key(second, 'manifest.json'), pristine.get(key(second, 'manifest.json')) ?? '');
  });

  it('lists a damaged backup as unusable instead of hiding it, and still restores the others', async () => {
    await change(key(second, 'manifest.json'), flip(0.5));
    const listed = await installation.cli.run('list', '--json');
    expect(listed.json()).toMatchObject({ backups: [{ id: first }], unusable: [{ id: second }] });
    const restored = await installation.cli.run('restore', first, '--as', 'restored');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    await server.query('DROP DATABASE restored');
  });

  it('exports nothing that is damaged: no file is left that looks like a dump', async () => {
    const file = join(installation.cli.directory, 'exported.pgc');
    await change(key(second, 'dump.pgc.gz.age'), flip(0.9));
    expectFailure(await installation.cli.run('export', 'latest', '-o', file), 22);
    expect((await readdir(installation.cli.directory)).filter((name) => name.includes('exported'))).toEqual([]);
  });

  it('goes on: the next backup is a good one, and restores', async () => {
    await installation.backup();
    await installation.restoresEqual();
    for (const name of await installation.repository.keys()) pristine.set(name, await installation.repository.read(name));
  });
});
