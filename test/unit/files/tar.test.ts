import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { collect, MiB } from '../../../src/core/bytes.ts';
import { tarOf } from '../../../src/files/tar.ts';

const run = promisify(execFile);
const signal = new AbortController().signal;
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'jetbackup-tar-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

describe('the files artifact', () => {
  test('is what the stock tar unpacks to the same files, modes and links', async () => {
    const big = randomBytes(3 * MiB + 17);
    const long = `${'n'.repeat(120)}.env`;
    await mkdir(join(folder, 'etc', 'sub'), { recursive: true });
    await writeFile(join(folder, 'etc', '.env.production'), 'SECRET=1\n', { mode: 0o600 });
    await writeFile(join(folder, 'etc', 'sub', 'big'), big);
    await writeFile(join(folder, 'etc', 'sub', 'empty'), '');
    await writeFile(join(folder, 'etc', long), 'long');
    await symlink('.env.production', join(folder, 'etc', 'link'));
    const tar = await collect(tarOf([join(folder, 'etc')], signal), 20 * MiB);
    const target = join(folder, 'out');
    await mkdir(target);
    await writeFile(join(folder, 'x.tar'), tar);
    await run('tar', ['-xf', join(folder, 'x.tar'), '-C', target]);
    const back = join(target, folder, 'etc');
    expect(await readFile(join(back, '.env.production'), 'utf8')).toBe('SECRET=1\n');
    expect((await stat(join(back, '.env.production'))).mode & 0o777).toBe(0o600);
    expect(big.equals(await readFile(join(back, 'sub', 'big')))).toBe(true);
    expect(await readFile(join(back, 'sub', 'empty'), 'utf8')).toBe('');
    expect(await readFile(join(back, long), 'utf8')).toBe('long');
    expect(await readlink(join(back, 'link'))).toBe('.env.production');
  });

  test('a path that is missing fails the whole artifact and names the path', async () => {
    await writeFile(join(folder, 'a'), 'a');
    const packed = collect(tarOf([join(folder, 'a'), join(folder, 'missing.env')], signal), MiB);
    await expect(packed).rejects.toMatchObject({ code: 'files-unreadable', message: expect.stringContaining('missing.env') });
  });

  test('a file that grows while it is read fails rather than being torn', async () => {
    const path = join(folder, 'growing');
    await writeFile(path, randomBytes(4 * MiB));
    const read = async () => {
      let first = true;
      for await (const _ of tarOf([path], signal)) {
        if (first) await appendFile(path, 'more');
        first = false;
      }
    };
    await expect(read()).rejects.toMatchObject({ code: 'files-unreadable' });
  });

  test('leaving early ends the reading', async () => {
    await writeFile(join(folder, 'large'), randomBytes(4 * MiB));
    for await (const _ of tarOf([folder], signal)) break;
  });
});
