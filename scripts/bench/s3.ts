import { DeleteObjectCommand, GetObjectCommand, paginateListObjectsV2 } from '@aws-sdk/client-s3';
import { startS3Server } from '../../test/support/s3-servers.ts';

/** A bucket on a real S3 server, which shares this machine's cores with what is measured. */
export interface S3Target extends AsyncDisposable {
  /** For a person: which server it is. */
  readonly description: string;
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** What AWS's own and other programs read their credentials from. */
  readonly env: Readonly<Record<string, string>>;
  list(prefix: string): Promise<readonly { readonly key: string; readonly bytes: number }[]>;
  read(key: string): Promise<string>;
  clear(prefix: string): Promise<void>;
  /** Frozen, it takes nothing of the cores that it shares with what is measured, and answers nobody. */
  freeze(frozen: boolean): Promise<void>;
}

const BUCKET = 'bench';

/** The first server of the tests; which one, JETBACKUP_TEST_S3_IMAGE says. */
export async function startS3Target(): Promise<S3Target> {
  // To disk, as a real one does: Ceph's store in memory frees deleted data slowly. Other servers do not know the variable.
  const server = await startS3Server('first', { environment: { OSD_STORE: 'bluestore' } });
  const { client, credentials, endpoint, region } = server;
  const list: S3Target['list'] = async (prefix) => {
    const found: { key: string; bytes: number }[] = [];
    for await (const page of paginateListObjectsV2({ client }, { Bucket: BUCKET, Prefix: prefix })) {
      for (const { Key, Size } of page.Contents ?? []) if (Key !== undefined) found.push({ key: Key, bytes: Size ?? 0 });
    }
    return found;
  };
  try {
    await server.createBucket(BUCKET);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    description: server.image,
    endpoint,
    region,
    bucket: BUCKET,
    env: { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey, AWS_DEFAULT_REGION: region },
    list,
    async read(key) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }));
      return (await Body?.transformToString('utf8')) ?? '';
    },
    async clear(prefix) {
      for (const { key } of await list(prefix)) await client.send(new DeleteObjectCommand({ Bucket: BUCKET, Key: key }));
    },
    freeze: (frozen) => server.freeze(frozen),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
