// SPDX-License-Identifier: Apache-2.0
// A light real OpenID provider for the live tests: node-oidc-provider, with one confidential client. Its settings are a JSON object in
// the variable OIDC_SETTINGS, its packages stand in the folder OIDC_MODULES/node_modules.
//
//   port, issuer        where it listens (127.0.0.1) and what it calls itself
//   tls                 {key, cert}: paths; without it plain HTTP
//   keys                [{alg, kid}]: signing keys, made anew at each start; or a whole JWKS with private keys in `jwks`
//   client              {id, secret, auth}: auth is client_secret_basic (default) or client_secret_post
//   alg                 of the access tokens: a JWT signed so; null: they are opaque. A request's `resource` urn:alg:NAME asks for NAME
//   ttl                 s that a token holds
//   delay_ms            each answer waits for so long
//   cache               Cache-Control of the keys' answer
import { createRequire } from 'node:module';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';

const settings = JSON.parse(process.env.OIDC_SETTINGS);
const modules = createRequire(`${process.env.OIDC_MODULES}/`);
const { default: Provider } = await import(modules.resolve('oidc-provider'));

function newKey({ alg, kid }) {
	const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
	const pair = /^[RP]S/.test(alg) ? generateKeyPairSync('rsa', { modulusLength: 2048 })
		: alg in curves ? generateKeyPairSync('ec', { namedCurve: curves[alg] })
			: generateKeyPairSync('ed25519');
	return { ...pair.privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid };
}

const algs = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const { client } = settings;
const provider = new Provider(settings.issuer, {
	jwks: settings.jwks ?? { keys: settings.keys.map(newKey) },
	clients: [{
		client_id: client.id, client_secret: client.secret, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
		token_endpoint_auth_method: client.auth ?? 'client_secret_basic', scope: 'read write',
	}],
	clientAuthMethods: [client.auth ?? 'client_secret_basic'],
	scopes: ['openid', 'read', 'write'],
	ttl: { ClientCredentials: settings.ttl ?? 600 },
	enabledJWA: { idTokenSigningAlgValues: [...algs, 'HS256'] },
	features: {
		devInteractions: { enabled: false },
		clientCredentials: { enabled: true },
		resourceIndicators: {
			enabled: true,
			defaultResource: () => (settings.alg ? `urn:alg:${settings.alg}` : undefined),
			getResourceServerInfo: (_, resource) => ({
				scope: 'read write', audience: 'skymon-test', accessTokenTTL: settings.ttl ?? 600, accessTokenFormat: 'jwt',
				jwt: { sign: { alg: resource.slice('urn:alg:'.length) } },
			}),
		},
	},
});
provider.use(async (context, next) => {
	if (settings.delay_ms) await new Promise((resolve) => { setTimeout(resolve, settings.delay_ms); });
	await next();
	if (settings.cache && context.path === '/jwks') context.set('cache-control', settings.cache);
});

const server = settings.tls
	? https.createServer({ key: readFileSync(settings.tls.key), cert: readFileSync(settings.tls.cert) }, provider.callback())
	: http.createServer(provider.callback());
server.keepAliveTimeout = 60000;
server.listen(settings.port, '127.0.0.1', () => console.log('listening'));
