import { expect, test } from 'vitest';
import { MiB } from '../../../../src/core/bytes.ts';
import { otherEngine } from '../../../../src/verify/sandboxes/container-meant.ts';
import { publishingAddresses } from '../../../../src/verify/sandboxes/container-network.ts';
import { specificationOf } from '../../../../src/verify/sandboxes/container-specification.ts';

const socket = { socketPath: '/var/run/docker.sock' };
const byTcp = { host: 'docker.example', port: '2376' };

test.each([
  ['the socket of this machine, where none is named', undefined, socket],
  ['the socket of this machine, where the name is empty', '', socket],
  ['the socket that is named', 'unix:///var/run/docker.sock', socket],
  ['the host and port that are named', 'tcp://docker.example:2376', byTcp],
  ['an address of IPv6', 'tcp://[::1]:2375', { host: '[::1]', port: 2375 }],
])('the engine is meant that is %s', (_, dockerHost, found) => {
  expect(otherEngine(dockerHost, found)).toBeUndefined();
});

test.each([
  ['has another socket', 'unix:///nowhere/docker.sock', socket, 'unix:///var/run/docker.sock'],
  ['is on this machine, where one on another is named', 'tcp://docker.example:2376', socket, 'unix:///var/run/docker.sock'],
  ['is elsewhere, where a socket is named', 'unix:///var/run/docker.sock', byTcp, 'tcp://docker.example:2376'],
  ['is elsewhere, where none is named', undefined, byTcp, 'tcp://docker.example:2376'],
  ['is on another host', 'tcp://other.example:2376', byTcp, 'tcp://docker.example:2376'],
  ['has another port', 'tcp://docker.example:2375', byTcp, 'tcp://docker.example:2376'],
  ['answers to what is no URL', 'docker', socket, 'unix:///var/run/docker.sock'],
])('data does not go to an engine that %s', (_, dockerHost, found, other) => {
  expect(otherEngine(dockerHost, found)).toBe(other);
});

test('a port is published on this machine, and on another only for who says that rows may travel in clear', async () => {
  const isOwnAddress = async (address: string) => address === '192.0.2.9';
  const guarded = { plaintext: false, isOwnAddress };
  const open = { plaintext: true, isOwnAddress };
  expect(await publishingAddresses('localhost', guarded)).toEqual(['127.0.0.1']);
  expect(await publishingAddresses('127.0.0.2', guarded)).toEqual(['127.0.0.2']);
  expect(await publishingAddresses('192.0.2.9', guarded)).toEqual(['192.0.2.9']);
  await expect(publishingAddresses('192.0.2.1', guarded)).rejects.toMatchObject({
    code: 'sandbox-unavailable',
    message: expect.stringContaining('192.0.2.1'),
    hint: expect.stringMatching(/engine's own machine.*verify\.plaintext: true/),
  });
  expect(await publishingAddresses('192.0.2.1', open)).toEqual(['192.0.2.1', '0.0.0.0']);
});

test('no setting brings statements into the log of a container, or moves its server', () => {
  const { Cmd } = specificationOf({
    ...{ name: 'n', labels: {}, cpus: undefined, superuser: 'postgres', password: 'p', volume: 'n', network: 'n', publishAt: undefined },
    image: { name: 'postgres:17', volumes: [] },
    room: { limitBytes: 512 * MiB, serverBytes: 512 * MiB, tmpfsBytes: undefined },
    settings: { log_statement: 'all', log_min_error_statement: 'error', log_error_verbosity: 'verbose', port: '1', work_mem: '7MB' },
  });
  expect(Cmd).toEqual(
    expect.arrayContaining([
      ...['log_statement=none', 'log_min_error_statement=panic', 'log_error_verbosity=terse', 'log_min_duration_statement=-1'],
      ...['port=5432', 'work_mem=7MB'],
    ]),
  );
});
