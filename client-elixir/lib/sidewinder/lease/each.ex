defmodule Sidewinder.Lease.Each do
  @moduledoc """
  The leases of a client that has several daemons: one with each address that the channel knows.

      Each ─┬─ the leases, one process for each address
            └─ the follower: who begins and ends them, as addresses come and go

  An address that is no longer named has its lease given back. Two addresses may well be the same daemon (a name with an
  address of IPv4 and one of IPv6); so that these leases are not taken for one client that comes back, each has a run of
  its own, made of that of the client and the address.
  """

  use Supervisor

  alias Sidewinder.Client
  alias Sidewinder.Lease.Follower

  @doc false
  @spec start_link(Client.t()) :: Supervisor.on_start()
  def start_link(client), do: Supervisor.start_link(__MODULE__, client)

  @doc "The run of the lease at an address."
  @spec run(String.t(), tuple) :: String.t()
  def run(run, address),
    do: :crypto.hash(:sha256, [run, inspect(address)]) |> binary_part(0, 16) |> Base.encode16(case: :lower)

  @impl true
  def init(client) do
    leases = Client.part(client.name, :Leases)
    options = [strategy: :one_for_one, name: leases, max_restarts: 100, max_seconds: 10]
    supervisor = %{id: :leases, start: {Supervisor, :start_link, [[], options]}, type: :supervisor}
    Supervisor.init([supervisor, {Follower, {client, leases}}], strategy: :rest_for_one)
  end
end
