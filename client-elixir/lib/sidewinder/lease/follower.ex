defmodule Sidewinder.Lease.Follower do
  @moduledoc "Follows the addresses of the channel, and has a lease kept with each of them. See `Sidewinder.Lease.Each`."

  use GenServer

  alias Sidewinder.{Client, Lease}

  # What is written for one address.
  @written [:lease, :lease_info, :lease_keeper, :lease_refused, :round_trip_us, :standing]

  @doc false
  @spec start_link({Client.t(), atom}) :: GenServer.on_start()
  def start_link(given), do: GenServer.start_link(__MODULE__, given)

  @impl true
  def init({client, leases}) do
    :ok = client.transport.follow(client.channel)
    {:ok, %{client: client, leases: leases}}
  end

  @impl true
  def handle_info({:addresses, named}, %{leases: leases} = state) do
    kept = for {address, _, _, _} <- Supervisor.which_children(leases), do: address
    Enum.each(kept -- named, &leave(&1, state))
    for address <- named -- kept, do: {:ok, _} = Supervisor.start_child(leases, child(address, state.client))
    {:noreply, state}
  end

  def handle_info(_other, state), do: {:noreply, state}

  defp child(address, client), do: Supervisor.child_spec({Lease, Client.at(client, address)}, id: address)

  defp leave(address, state) do
    :ok = Supervisor.terminate_child(state.leases, address)
    :ok = Supervisor.delete_child(state.leases, address)
    for key <- @written, do: Client.forget(state.client, {key, address})
  end
end
