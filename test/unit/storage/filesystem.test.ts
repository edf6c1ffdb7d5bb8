import { mkdir, mkdtemp, open, readdir, readFile, realpath, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { Temporal } from 'temporal-polyfill';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bytesOf, collect } from '../../../src/core/bytes.ts';
import { createFilesystemStore } from '../../../src/storage/filesystem.ts';
import { fileSystemFailure } from '../../../src/storage/filesystem-errors.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';

const coded = (code: string) => expect.objectContaining({ name: 'JetbackupError', code });
const keys = async (store: ObjectStore, prefix = '') => (await Array.fromAsync(store.list(prefix))).map(({ key }) => key);

describe('a repository in a directory', () => {
  let home: string;
  let root: string;
  let store: ObjectStore;

  beforeEach(async () => {
    home = await realpath(await mkdtemp(join(tmpdir(), 'jetbackup-unit-')));
    root = join(home, 'deep', 'repository');
    store = createFilesystemStore({ directory: root });
  });
  afterEach(() => rm(home, { recursive: true }));

  it('is made by the first put, readable by its owner alone', async () => {
    await store.put('a/b/c', bytesOf('secret'));
    for (const path of ['', 'a', 'a/b', '.jetbackup-unfinished']) expect((await stat(join(root, path))).mode & 0o777).toBe(0o700);
    expect((await stat(join(root, 'a/b/c'))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(root, 'a/b/c'), 'utf8')).toBe('secret');
    expect(store.location).toBe(`file://${root}`);
  });

  it('that is not there yet is empty', async () => {
    expect(await keys(store)).toEqual([]);
    expect(await store.stat('jetbackup.json')).toBeUndefined();
    expect(await store.sweepUnfinished('', Temporal.Instant.from('2100-01-01T00:00:00Z'))).toEqual([]);
    await store.delete('jetbackup.json');
    expect(await readdir(home)).toEqual([]);
  });

  it('keeps no empty folders of what was deleted, and is still usable', async () => {
    await store.put('a/b/c', bytesOf('x'));
    await store.put('a/d', bytesOf('x'));
    await store.delete('a/b/c');
    expect(await readdir(join(root, 'a'))).toEqual(['d']);
    await store.put('a/b/c', bytesOf('y'));
    expect(await keys(store)).toEqual(['a/b/c', 'a/d']);
  });

  it('takes what is put into a folder that others empty at the same time', { timeout: 60_000 }, async () => {
    const come = async (name: string) => {
      for (let round = 0; round < 150; round += 1) {
        await store.put(`a/b/${name}`, bytesOf('x'));
        await store.delete(`a/b/${name}`);
      }
    };
    await Promise.all(['c', 'd', 'e', 'f'].map(come));
    expect(await readdir(root)).toEqual(['.jetbackup-unfinished']);
  });

  it('never follows a link out of itself', async () => {
    await mkdir(join(home, 'outside'));
    await writeFile(join(home, 'outside', 'passwd'), 'root');
    await store.put('inside', bytesOf('x'));
    await symlink(join(home, 'outside'), join(root, 'folder'));
    await symlink(join(home, 'outside', 'passwd'), join(root, 'file'));
    await expect(store.get('folder/passwd')).rejects.toEqual(coded('storage-denied'));
    await expect(store.stat('folder/passwd')).rejects.toEqual(coded('storage-denied'));
    await expect(store.put('folder/new', bytesOf('x'))).rejects.toEqual(coded('storage-denied'));
    await expect(store.delete('folder/passwd')).rejects.toEqual(coded('storage-denied'));
    await expect(store.get('file')).rejects.toEqual(coded('storage-denied'));
    expect(await store.stat('file')).toBeUndefined();
    expect(await keys(store)).toEqual(['inside']);
    await store.put('file', bytesOf('mine'));
    expect(await readFile(join(home, 'outside', 'passwd'), 'utf8')).toBe('root');
    expect(await readdir(join(home, 'outside'))).toEqual(['passwd']);
  });

  it('does not show what others put beside its objects', async () => {
    await store.put('mine', bytesOf('x'));
    await writeFile(join(root, 'ümlaut'), 'x');
    await writeFile(join(root, 'x'.repeat(230)), 'x');
    await writeFile(join(root, '.jetbackup-unfinished', 'notes.txt'), 'x');
    expect(await keys(store)).toEqual(['mine']);
    expect(await store.sweepUnfinished('', Temporal.Instant.from('2100-01-01T00:00:00Z'))).toEqual([]);
    expect(await readdir(join(root, '.jetbackup-unfinished'))).toEqual(['notes.txt']);
  });

  it('cannot hold both "a" and "a/b", says so, and loses neither', async () => {
    await store.put('a', bytesOf('file'));
    await expect(store.put('a/b', bytesOf('x'))).rejects.toEqual(coded('storage-failed'));
    await store.put('c/d', bytesOf('x'));
    await expect(store.put('c', bytesOf('x'))).rejects.toEqual(coded('storage-failed'));
    await expect(store.get('c')).rejects.toEqual(coded('storage-not-found'));
    await store.delete('c');
    await store.delete('a/b');
    expect(await keys(store)).toEqual(['a', 'c/d']);
    expect(await readdir(join(root, '.jetbackup-unfinished'))).toEqual([]);
  });

  it('notices a file that is cut short or written into while it is read', async () => {
    await store.put('shrinks', bytesOf(Buffer.alloc(1_000_000, 1)));
    const cut = async () => {
      for await (const _ of await store.get('shrinks')) await truncate(join(root, 'shrinks'), 300_000);
    };
    await expect(cut()).rejects.toEqual(coded('storage-failed'));

    await store.put('changes', bytesOf(Buffer.alloc(1_000_000, 1)));
    const changed = async () => {
      for await (const _ of await store.get('changes')) await utimes(join(root, 'changes'), 1, 1);
    };
    await expect(changed()).rejects.toEqual(coded('storage-failed'));
  });

  it.each([32, 64])('keeps nothing where the disk fails beside the writing of %i MiB', async (size) => {
    const file = await open(join(home, 'any'), 'w');
    await file.close();
    // With 32 MiB the body has ended when the flush fails.
    const datasync = vi.spyOn(Object.getPrototypeOf(file), 'datasync').mockImplementation(async () => {
      await setTimeout(20);
      throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' });
    });
    try {
      const mebibyte = Buffer.alloc(1024 * 1024);
      const body = Readable.from(Array.from({ length: size }, () => mebibyte));
      await expect(store.put('a/b', body)).rejects.toMatchObject({ code: 'storage-failed', message: expect.stringContaining('EIO') });
      expect(datasync).toHaveBeenCalled();
    } finally {
      datasync.mockRestore();
    }
    expect(await keys(store)).toEqual([]);
    expect(await readdir(join(root, '.jetbackup-unfinished'))).toEqual([]);
  });

  it('finds the file again, or says that it is gone, when it is read long after it was asked for', async () => {
    await store.put('later', bytesOf('x'));
    const stream = await store.get('later');
    await store.delete('later');
    await expect(collect(stream, 10)).rejects.toEqual(coded('storage-not-found'));
  });

  it('sweeps only temporary files that were last written to before the given instant', async () => {
    await store.put('x', bytesOf('x'));
    const folder = join(root, '.jetbackup-unfinished');
    for (const [name, seconds] of [
      ['db¦old¦dump~0000000000000000', 1000],
      ['db¦new~1111111111111111', 2000],
    ] as const) {
      await writeFile(join(folder, name), 'half');
      await utimes(join(folder, name), seconds, seconds);
    }
    expect(await store.sweepUnfinished('', Temporal.Instant.fromEpochMilliseconds(1_500_000))).toEqual(['db/old/dump']);
    expect(await readdir(folder)).toEqual(['db¦new~1111111111111111']);
  });
});

it.each([
  ['ENOSPC', 'storage-full', 'df -h /srv'],
  ['EDQUOT', 'storage-full', 'quota'],
  ['EFBIG', 'storage-full', 'ulimit'],
  ['EACCES', 'storage-denied', 'chown'],
  ['EPERM', 'storage-denied', 'chown'],
  ['EROFS', 'storage-denied', 'read-only'],
  ['ESTALE', 'storage-unreachable', 'mounted'],
  ['EIO', 'storage-failed', undefined],
])('%s of the file system becomes %s with a remedy', (code, expected, hint) => {
  const error = fileSystemFailure(Object.assign(new Error(`${code}: it failed`), { code }), 'write "a"', '/srv');
  expect(error.code).toBe(expected);
  if (hint !== undefined) expect(error.hint).toContain(hint);
  expect(error.message).toContain('write "a" in /srv');
});
