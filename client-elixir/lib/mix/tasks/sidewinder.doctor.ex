defmodule Mix.Tasks.Sidewinder.Doctor do
  @shortdoc "Says whether this application can reach and start Sidewinder"
  @moduledoc """
  Tries everything that a client needs, and says what would help.

      mix sidewinder.doctor [--address ADDRESS]

  Looked at are the versions of Elixir and OTP, the libraries that are used when present, the program `sidewinder`, and the
  daemon: whether it answers, how far away it is, whether it grants a lease, and whether its pools serve. Without an address
  it is the daemon of this user.

  It returns 1 when something is missing that a client cannot do without, which is either a program to start or a daemon
  that answers.
  """

  use Mix.Task

  alias Sidewinder.{Daemon.Place, Error, Options.Address, Value.Json}

  @name Sidewinder.Doctor.Client
  @wait_ms 2_000

  @impl true
  def run(args) do
    {given, rest, wrong} = OptionParser.parse(args, strict: [address: :string])
    if rest != [] or wrong != [], do: Mix.raise("usage: mix sidewinder.doctor [--address ADDRESS]")
    Mix.Task.run("compile")
    {:ok, _} = Application.ensure_all_started(:sidewinder)
    libraries()
    program = program()
    daemon = daemon(given[:address])
    if not (program or daemon), do: exit({:shutdown, 1})
  end

  defp libraries do
    say(:ok, "Elixir #{System.version()} on OTP #{System.otp_release()}")

    case Json.module() do
      nil ->
        say(:note, "no JSON module: content_type: :json needs Elixir 1.18, OTP 27 or Jason; MessagePack needs none")

      module ->
        say(:ok, "JSON by #{inspect(module)}")
    end

    if Code.ensure_loaded?(:telemetry),
      do: say(:ok, "telemetry events go to :telemetry"),
      else: say(:note, "no :telemetry: events go to the option handler: only")
  end

  defp program do
    with {:ok, binary} <- Place.binary(nil),
         {version, 0} <- System.cmd(binary, ["--version"], stderr_to_stdout: true) do
      say(:ok, "#{String.trim(version)} at #{binary}, for mode :coupled")
      true
    else
      {:error, what} ->
        say(:note, "#{what}; only mode :coupled needs it")
        false

      {said, status} ->
        say(:bad, "the program `sidewinder` ends with #{status}: #{String.trim(said)}")
        false
    end
  end

  defp daemon(address) do
    case Address.all(address) do
      {:ok, endpoints} -> meet(address, Enum.map_join(endpoints, ", ", &Address.text/1))
      {:error, what} -> Mix.raise(what)
    end
  end

  defp meet(address, shown) do
    {:ok, _} =
      Sidewinder.start_link(name: @name, address: address, wait: @wait_ms, client_name: "mix sidewinder.doctor")

    begun = System.monotonic_time(:microsecond)

    case Sidewinder.status(@name) do
      {:ok, status} ->
        say(:ok, "the daemon at #{shown} is #{status.version}, mode #{word(status.mode)}, tier #{status.tier}")
        near(begun)
        lease()
        Enum.each(status.pools, &pool/1)
        true

      {:error, %Error{code: :unavailable} = error} ->
        say(:note, "no daemon answers at #{shown}: #{error.message}")
        say(:note, "start one with `sidewinder run --tools MODULE`, name one with --address, or use mode :coupled")
        false

      {:error, error} ->
        say(:bad, "the daemon at #{shown}: #{Exception.message(error)}")
        false
    end
  after
    Sidewinder.stop(@name)
  end

  defp word(""), do: "not said"
  defp word(mode), do: mode

  defp near(begun) do
    _warm = System.monotonic_time(:microsecond) - begun
    {took, {:ok, _}} = :timer.tc(fn -> Sidewinder.tools(@name) end)
    say(:ok, "a question takes #{took} µs")
  end

  defp lease do
    client = Sidewinder.Client.fetch!(@name)

    case Sidewinder.Lease.here(client, System.monotonic_time(:millisecond) + @wait_ms) do
      {:ok, nil} -> say(:note, "this daemon knows nothing of leases")
      {:ok, {lease, epoch}} -> say(:ok, "it grants a lease: #{lease}, epoch #{epoch}")
      {:ok, :each} -> leases(client)
      {:error, error} -> say(:bad, "it grants no lease: #{error.message}")
    end
  end

  # A question that changes nothing, and that only a client with a lease may ask.
  defp leases(client) do
    {:error, answer} = Sidewinder.result(@name, "sidewinder.doctor", timeout: @wait_ms)
    if answer.reason != :unknown_key, do: say(:bad, "no daemon grants a lease: #{answer.message}")

    for %{daemon: daemon} = lease <- Sidewinder.Lease.info(client).leases,
        do: say(:ok, "#{daemon} grants a lease: #{lease.lease}, epoch #{lease.epoch}")
  end

  defp pool(%{trouble: "", phase: :serving} = pool),
    do: say(:ok, "pool #{pool.name} serves with #{pool.ready} workers")

  defp pool(pool), do: say(:bad, "pool #{pool.name} is #{pool.phase}: #{pool.trouble}")

  defp say(:ok, what), do: Mix.shell().info([:green, "ok    ", :reset, what])
  defp say(:note, what), do: Mix.shell().info([:yellow, "note  ", :reset, what])
  defp say(:bad, what), do: Mix.shell().error("bad   " <> what)
end
