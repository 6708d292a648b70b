// A real OpenID provider for tests: any name signs in, PKCE is enforced. Arguments: port, redirect URI.
// The login "ada+unproved" has an address that the provider does not vouch for;
// of "ada+silent" it does not say; "nobody" has none.
import Provider from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    {
      client_id: "tenantry",
      client_secret: "a secret of the client",
      redirect_uris: [redirectUri],
      grant_types: ["authorization_code"],
    },
  ],
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name"] },
  cookies: { keys: ["only for tests"] },
  pkce: { required: () => true },
  features: { devInteractions: { enabled: true } },
  findAccount: async (_context, id) => ({
    accountId: id,
    claims: async () =>
      id === "nobody"
        ? { sub: id, name: id }
        : {
            sub: id,
            name: id,
            email: `${id}@example.com`,
            ...(id.includes("silent") ? {} : { email_verified: !id.includes("unproved") }),
          },
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
