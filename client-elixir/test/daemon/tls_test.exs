defmodule Sidewinder.Daemon.TlsTest do
  @moduledoc "A real daemon that listens with TLS and asks for certificates."
  use ExUnit.Case, async: true

  alias Sidewinder.Error
  alias Sidewinder.Test.RealDaemon

  @key ~w(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)

  setup_all do
    folder = Path.join(System.tmp_dir!(), "sidewinder-ex-tls-#{System.pid()}-#{System.unique_integer([:positive])}")
    File.mkdir_p!(folder)
    on_exit(fn -> File.rm_rf!(folder) end)
    authority(folder, "ca")
    authority(folder, "stranger")
    signed(folder, "tls", "ca", "subjectAltName=IP:127.0.0.1,DNS:models.test")
    signed(folder, "client", "ca", "extendedKeyUsage=clientAuth")
    signed(folder, "other", "stranger", "extendedKeyUsage=clientAuth")
    %{certificates: folder}
  end

  test "calls, streams and leases go through TLS", %{certificates: folder} do
    daemon = daemon(folder, [])
    client = RealDaemon.client(daemon, address: tls(daemon, trust(folder)))
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
    assert [0, 1, 2] = Enum.to_list(Sidewinder.stream(client, "count", %{until: 3}))
    data = :crypto.strong_rand_bytes(3_000_000)

    assert {:ok, ^data} = Sidewinder.call(client, "echo", %{value: Sidewinder.Value.bytes(data)})
    assert {:ok, %{lease: %{attached: true}}} = Sidewinder.status(client)
    # By the name that the certificate has, wherever it is.
    named = tls(daemon, trust(folder) ++ [server_name_indication: ~c"models.test"])
    assert {:ok, 3} = Sidewinder.call(RealDaemon.client(daemon, address: named), "add", %{a: 1, b: 2})
  end

  test "a daemon that asks for a certificate knows its clients by it", %{certificates: folder} do
    daemon = daemon(folder, [{"SIDEWINDER_LISTEN_TLS_CLIENT_CA", Path.join(folder, "ca.crt")}])
    client = RealDaemon.client(daemon, address: tls(daemon, trust(folder) ++ shown(folder, "client")))
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})

    assert refused(daemon, trust(folder)) =~ ~r/127.0.0.1:.* it may want a certificate .*certfile:, keyfile:/
    assert refused(daemon, trust(folder) ++ shown(folder, "other")) =~ ~r/it may want a certificate/
  end

  test "who is not trusted is not called, and it is said why", %{certificates: folder} do
    daemon = daemon(folder, [])

    assert refused(daemon, cacertfile: Path.join(folder, "stranger.crt")) =~
             "no authority that is trusted here (cacertfile:)"

    assert refused(daemon, trust(folder) ++ [server_name_indication: ~c"elsewhere.test"]) =~
             "not for the name elsewhere.test that it is called by"

    # Whoever says nothing about trust trusts what the machine trusts.
    assert refused(daemon, []) =~ "no authority that is trusted here"
    assert refused_at({:tcp, "127.0.0.1", RealDaemon.port(daemon)}) =~ "it may want TLS"
  end

  defp refused(daemon, options), do: refused_at(tls(daemon, options))

  defp refused_at(address) do
    name = :"refused_#{System.unique_integer([:positive])}"
    start_supervised!({Sidewinder, name: name, address: address, wait: 1_000})
    told(name)
  end

  # On a busy machine the first handshake takes longer than a call waits.
  defp told(name) do
    assert {:error, %Error{ran: :no} = error} = Sidewinder.call(name, "add", %{a: 1})
    message = Exception.message(error)
    if message =~ "has not answered yet", do: told(name), else: message
  end

  defp daemon(folder, further) do
    env = [
      {"SIDEWINDER_LISTEN_TLS_CERTIFICATE", Path.join(folder, "tls.crt")},
      {"SIDEWINDER_LISTEN_TLS_KEY", Path.join(folder, "tls.key")}
    ]

    RealDaemon.start(["--tcp", "127.0.0.1:0"], env: env ++ further)
  end

  defp tls(daemon, options), do: {:tls, "127.0.0.1", RealDaemon.port(daemon), [log_level: :none] ++ options}
  defp trust(folder), do: [cacertfile: Path.join(folder, "ca.crt")]

  defp shown(folder, name),
    do: [certfile: Path.join(folder, "#{name}.crt"), keyfile: Path.join(folder, "#{name}.key")]

  defp authority(folder, name),
    do: openssl(folder, ~w(req -x509) ++ @key ++ ~w(-days 2 -subj /CN=#{name} -keyout #{name}.key -out #{name}.crt))

  defp signed(folder, name, authority, extension) do
    wanted = ~w(req) ++ @key ++ ~w(-subj /CN=#{name} -addext #{extension} -keyout #{name}.key -out #{name}.csr)
    openssl(folder, wanted)
    by = ~w(-CA #{authority}.crt -CAkey #{authority}.key -CAcreateserial -days 2 -copy_extensions copyall)
    openssl(folder, ~w(x509 -req -in #{name}.csr) ++ by ++ ~w(-out #{name}.crt))
    File.chmod!(Path.join(folder, "#{name}.key"), 0o600)
  end

  defp openssl(folder, args) do
    {said, status} = System.cmd("openssl", args, cd: folder, stderr_to_stdout: true)
    if status != 0, do: raise("openssl #{Enum.join(args, " ")}: #{said}")
  end
end
